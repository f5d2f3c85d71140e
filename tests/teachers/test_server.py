"""The endpoint of `sera model serve` and `sera rehearse`: what a client asks for is done, or refused."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from sera.errors import ContextOverflow, SeraError, TeacherError, TeacherRefused, TeacherUnusable
from sera.harness import load_profile
from sera.records import Message, ToolCall, Usage
from sera.teachers import LocalConfig, RehearsalConfig, RemoteConfig, Teacher, make_teacher
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.scripted import ScriptedTeacher
from sera.teachers.server import make_app

WEIGHTS = Path(os.environ.get("SERA_TEST_WEIGHTS", ".cache/models/smollm2-135m-instruct.gguf")).absolute()
TOOL = load_profile().tools[0]
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Count."}]}


class Speaking(ScriptedTeacher):
    """Says pieces, one at each beat, and answers with a message; remembers what it was asked."""

    def __init__(self, pieces: tuple[str, ...], answer: Message | SeraError | Exception) -> None:
        self.asked: list[ChatRequest] = []
        self._pieces, self._answer = pieces, answer
        self.beat = asyncio.Event()

    async def complete(self, request: ChatRequest) -> Reply:
        self.asked.append(request)
        for piece in self._pieces:
            if request.hear:
                request.hear(piece)
                await self.beat.wait()
                self.beat.clear()
        if isinstance(self._answer, Exception):
            raise self._answer
        return Reply(message=self._answer, usage=Usage(calls=1, prompt=5, completion=3))


def said(text: str, *calls: ToolCall) -> Message:
    return Message(role="assistant", content=text, tool_calls=calls)


def ask(teacher: Teacher, **fields: Any) -> httpx2.Response:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=make_app(teacher, "m"), raise_app_exceptions=False)
        async with teacher, httpx2.AsyncClient(transport=transport, base_url="http://m") as client:
            return await client.post("/v1/chat/completions", json=BODY | fields, timeout=120)

    return asyncio.run(send())


def get(path: str) -> httpx2.Response:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=make_app(Speaking((), said("")), "org/model"))
        async with httpx2.AsyncClient(transport=transport, base_url="http://m") as client:
            return await client.get(path)

    return asyncio.run(send())


def test_one_model_by_its_name() -> None:
    assert get("/v1/models/org/model").json() == get("/v1/models").json()["data"][0]
    assert get("/v1/models/other").status_code == 404
    assert "only 'org/model'" in get("/v1/models/other").json()["error"]["message"]


def test_sampling_reaches_the_teacher() -> None:
    teacher = Speaking((), said("x"))
    ask(
        teacher,
        max_tokens=7,
        temperature=0,
        top_p=0.5,
        stop="a",
        seed=3,
        tools=[TOOL],
        tool_choice="required",
    )
    ask(teacher, max_completion_tokens=8, stop=["a", "b"], tools=[TOOL], tool_choice="none")
    first, second = (request.sampling for request in teacher.asked)
    assert (first.max_tokens, first.temperature, first.top_p, first.stop) == (7, 0, 0.5, ("a",))
    assert (first.must_call, second.must_call) == (True, False)
    assert (second.max_tokens, second.temperature, second.stop) == (8, None, ("a", "b"))
    assert [len(request.tools) for request in teacher.asked] == [1, 0]


def test_another_try_is_another_answer() -> None:
    teacher = Speaking((), said("x"))
    for _ in range(4):
        ask(teacher)
    assert len({request.seed for request in teacher.asked}) == 4
    ask(teacher, n=3, seed=10)
    ask(teacher, n=3, seed=2**63 - 1)
    for seed, asked in ((10, teacher.asked[4:7]), (2**63 - 1, teacher.asked[7:])):
        seeds = {request.seed for request in asked}
        assert len(seeds) == 3
        assert seed in seeds
        assert max(seeds) < 2**63


def test_several_answers() -> None:
    body = ask(Speaking((), said("x")), n=3).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"] | {"prompt_tokens_details": 0} == {
        "prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14, "prompt_tokens_details": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 0}, {"n": 2.5}, {"n": True}, {"n": 1000}, {"n": 2, "stream": True}, {"max_tokens": 0},
        {"max_tokens": "9"}, {"temperature": -1}, {"temperature": float("1e9")}, {"top_p": 0}, {"stop": 3},
        {"stop": [""]}, {"stop": ["x"] * 40}, {"seed": 10**30}, {"seed": "a"}, {"logprobs": True},
        {"response_format": {"type": "json_object"}}, {"presence_penalty": 1}, {"logit_bias": {"5": 1}},
        {"stream": "false"}, {"tool_choice": "required"}, {"tool_choice": "bash"}, {"tool_choice": {"type": "function"}},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_done_is_refused(fields: dict[str, Any]) -> None:
    teacher = Speaking((), said("x"))
    answer = ask(teacher, **fields)
    assert answer.status_code == 400
    assert (
        next(iter((fields.keys() - {"tools", "stream"}) or {"stream"})) in answer.json()["error"]["message"]
    )
    assert not teacher.asked


def test_pictures_are_not_dropped_without_a_word() -> None:
    parts = [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    answer = ask(Speaking((), said("x")), messages=[{"role": "user", "content": parts}])
    assert answer.status_code == 400
    assert "image_url: only text is read" in answer.json()["error"]["message"]
    assert ask(Speaking((), said("x")), messages=[{"role": "user", "content": parts[:1]}]).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [{"logprobs": False}, {"response_format": {"type": "text"}}, {"presence_penalty": 0.0}, {"stop": None},
     {"tool_choice": "auto"}, {"user": "me"}, {"n": None}, {"parallel_tool_calls": True}],
    ids=str,
)  # fmt: skip
def test_what_asks_for_nothing_is_fine(fields: dict[str, Any]) -> None:
    assert ask(Speaking((), said("x")), **fields).status_code == 200


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (TeacherRefused("no"), 400, None),
        (ContextOverflow("long"), 400, "context_length_exceeded"),
        (TeacherError("broken"), 500, None),
        (TeacherUnusable("gone"), 500, None),
        (RuntimeError("a bug"), 500, None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("stream", [False, True])
def test_whose_fault_an_error_is(problem: Exception, status: int, code: str | None, stream: bool) -> None:
    answer = ask(Speaking((), problem), stream=stream)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["type"] == ("invalid_request_error" if status == 400 else "server_error")


# ── streams, over a socket: the test client waits for the whole ───────────────────────────────────


@asynccontextmanager
async def streamed(teacher: Teacher, **fields: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The events of a stream, as they come."""
    settings = uvicorn.Config(make_app(teacher, "m"), port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with (
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as client,
            client.stream("POST", "/v1/chat/completions", json=BODY | {"stream": True} | fields) as answer,
        ):
            assert answer.status_code == 200
            lines = answer.aiter_lines()

            async def events() -> AsyncIterator[dict[str, Any]]:
                async for line in lines:
                    if line.startswith("data: ") and line != "data: [DONE]":
                        yield json.loads(line.removeprefix("data: "))

            yield events()
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, 20)


async def text_of(events: AsyncIterator[dict[str, Any]]) -> tuple[str, list[Any], dict[str, Any]]:
    """(the text, the pieces of calls, the last event)"""
    text, calls, last = "", [], {}
    async for last in events:
        for choice in last.get("choices", ()):
            text += choice["delta"].get("content") or ""
            calls += choice["delta"].get("tool_calls") or []
    return text, calls, last


def test_text_comes_while_the_teacher_speaks() -> None:
    async def main() -> None:
        teacher = Speaking(
            ("one ", "two"), said("one two three", ToolCall(id="c", name="bash", arguments="{}"))
        )
        async with streamed(teacher, stream_options={"include_usage": True}) as events:
            begun = await anext(events)
            heard = await anext(events)
            assert begun["choices"][0]["delta"]["role"] == "assistant"
            assert heard["choices"][0]["delta"] == {"content": "one "}
            teacher.beat.set()
            assert (await anext(events))["choices"][0]["delta"] == {"content": "two"}
            teacher.beat.set()
            text, calls, last = await text_of(events)
        assert text == " three"
        assert calls[0]["function"]["name"] == "bash"
        assert last["usage"]["completion_tokens"] == 3

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(said("two"), "begun again"), (TeacherError("lost"), "lost")],
    ids=["another answer", "an error"],
)
def test_a_stream_that_goes_wrong_says_so(answer: Message | SeraError, expected: str) -> None:
    async def main() -> None:
        teacher = Speaking(("one",), answer)
        async with streamed(teacher) as events:
            await anext(events)
            assert (await anext(events))["choices"][0]["delta"] == {"content": "one"}
            teacher.beat.set()
            text, _, last = await text_of(events)
        assert not text
        assert expected in last["error"]["message"]

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_client_that_leaves_a_stream_ends_the_answer() -> None:
    async def main() -> None:
        teacher = Speaking(("one",), said("one"))
        gone = asyncio.Event()
        complete = teacher.complete

        async def watched(request: ChatRequest) -> Reply:
            try:
                return await complete(request)
            except asyncio.CancelledError:
                gone.set()
                raise

        teacher.complete = watched  # type: ignore[method-assign]
        async with streamed(teacher) as events:
            await anext(events)
        await asyncio.wait_for(gone.wait(), 5)

    asyncio.run(asyncio.wait_for(main(), 30))


# ── what runs models ──────────────────────────────────────────────────────────────────────────────


def test_a_gguf_does_as_it_is_told() -> None:
    """Through llama.cpp: length, stop, seeds, a call that must come, and text as it is written."""
    config = LocalConfig(model=str(WEIGHTS), context=2048, max_tokens=40, threads=1)
    heard: list[str] = []

    async def main() -> list[Reply]:
        async with make_teacher(config) as teacher:
            transport = httpx2.ASGITransport(app=make_app(teacher, "m"))
            async with httpx2.AsyncClient(transport=transport, base_url="http://m", timeout=120) as client:

                async def one(**fields: Any) -> dict[str, Any]:
                    answer = await client.post("/v1/chat/completions", json=BODY | fields)
                    assert answer.status_code == 200, answer.text
                    choice: dict[str, Any] = answer.json()["choices"][0]
                    return choice

                short = await one(max_tokens=3, temperature=0)
                assert short["finish_reason"] == "length"
                whole = await one(max_tokens=12, temperature=0)
                assert whole["message"]["content"].startswith(short["message"]["content"])
                word = whole["message"]["content"].split()[2]
                stopped = await one(max_tokens=12, temperature=0, stop=[word])
                assert word not in stopped["message"]["content"]
                assert stopped["finish_reason"] == "stop"
                hot = {(await one(max_tokens=8, temperature=1.5))["message"]["content"] for _ in range(3)}
                assert len(hot) > 1
            request = ChatRequest(
                messages=(Message(role="user", content="Tell a story."),), hear=heard.append
            )
            return [await teacher.complete(request)]

    (reply,) = asyncio.run(asyncio.wait_for(main(), 120))
    assert len(heard) > 5
    assert reply.message.content.strip().startswith("".join(heard).strip())


def test_the_rehearsal_calls_no_tool_that_it_was_not_offered() -> None:
    profile = load_profile()
    task = profile.prompt("task", workdir="/testbed", request="`x` is slow")
    other = {"type": "function", "function": {"name": "search", "parameters": {}}}
    messages = [{"role": "user", "content": task}]
    answer = ask(make_teacher(RehearsalConfig()), messages=messages, tools=[other])
    assert answer.status_code == 400
    assert "is offered search" in answer.json()["error"]["message"]
    assert ask(make_teacher(RehearsalConfig()), messages=messages, tools=profile.tools).status_code == 200


def test_the_rehearsal_ends_where_it_is_told_to() -> None:
    profile = load_profile()
    messages = [
        {"role": "user", "content": profile.prompt("task", workdir="/testbed", request="`x` is slow")}
    ]
    teacher: Callable[[], Teacher] = lambda: make_teacher(RehearsalConfig())  # noqa: E731
    short = ask(teacher(), messages=messages, tools=profile.tools, seed=3, max_tokens=2).json()
    assert (short["choices"][0]["finish_reason"], short["usage"]["completion_tokens"]) == ("length", 2)
    assert "tool_calls" not in short["choices"][0]["message"]
    said = ask(teacher(), messages=messages, seed=3).json()["choices"][0]["message"]["content"]
    word = said.split()[1]
    cut = ask(teacher(), messages=messages, seed=3, stop=word).json()["choices"][0]["message"]["content"]
    assert cut == said.partition(word)[0]


def test_sampling_goes_on_to_a_remote_teacher() -> None:
    """So that any teacher can be served."""
    seen: list[dict[str, Any]] = []
    inner = Speaking((), said("x"))

    async def main() -> None:
        settings = uvicorn.Config(make_app(inner, "m"), port=0, log_level="critical", lifespan="off")
        server = uvicorn.Server(settings)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        config = RemoteConfig(model="m", base_url=f"http://127.0.0.1:{port}/v1")
        transport = httpx2.ASGITransport(app=make_app(teacher := make_teacher(config), "m"))
        try:
            async with teacher, httpx2.AsyncClient(transport=transport, base_url="http://m") as client:
                fields = {"temperature": 0.1, "max_tokens": 5, "stop": ["q"], "top_p": 0.2, "seed": 4}
                answer = await client.post("/v1/chat/completions", json=BODY | fields)
                seen.append(answer.json())
        finally:
            server.should_exit = True
            await asyncio.wait_for(serving, 20)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert seen[0]["choices"][0]["message"]["content"] == "x"
    got = inner.asked[0].sampling
    assert (got.temperature, got.max_tokens, got.stop, got.top_p, inner.asked[0].seed) == (
        0.1,
        5,
        ("q",),
        0.2,
        4,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": ["bash"]},
        {"tools": {"bash": 1}},
        {"tools": [{"type": "function"}]},
        {"tools": [{"function": {}}]},
        {"max_tokens": 1.5},
        {"seed": 0.5},
    ],
)
def test_tools_without_a_name_and_fractions_of_whole_numbers_are_refused(fields: dict[str, Any]) -> None:
    answer = ask(make_teacher(RehearsalConfig()), **fields)
    assert answer.status_code == 400, answer.text
    assert next(iter(fields)) in answer.json()["error"]["message"]
