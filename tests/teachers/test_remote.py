"""The remote teacher against real servers on loopback that misbehave in turn."""

import asyncio
import json
import time
from typing import Any

import pytest
from scripted_server import HANG_UP, Answer, answer, serving

from sera.errors import (
    BudgetExhausted,
    ConfigError,
    ContextOverflow,
    TeacherError,
    TeacherRefused,
    TeacherUnusable,
)
from sera.records import Message, ToolCall, Usage
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.remote import Endpoint, RemoteConfig, RemoteTeacher
from sera.teachers.remote.clock import Clock

HELLO = ChatRequest(messages=(Message(role="user", content="hello"),), seed=3)
GOOD = answer()


class Books:
    """A meter that only notes down."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def reserve(self, worst: Usage) -> int:
        assert worst.prompt > 1000
        self.lines.append("hold")
        return len(self.lines)

    def settle(self, hold: int, used: Usage, written: int = 0) -> None:
        self.lines.append("settled")

    def release(self, hold: int) -> None:
        self.lines.append("released")

    def uncertain(self, hold: int, answered: bool = False) -> None:
        self.lines.append("uncertain")


class Hasty(Clock):
    """Does not wait out a pause, lets its time go by, and says how long it was. For one request at a time."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def now(self) -> float:
        return super().now() + sum(self.pauses)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(min(seconds / 50, 0.1))

    def chance(self) -> float:
        return 1.0


class Quick(Clock):
    """Goes ten times as fast."""

    def now(self) -> float:
        return super().now() * 10

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


def ask(
    *servers: Any,
    request: ChatRequest = HELLO,
    books: Books | None = None,
    clock: Clock | None = None,
    times: int = 1,
    **config: Any,
) -> list[Reply]:
    """Answers to `times` equal requests, one after the other."""
    many = tuple(Endpoint(base_url=server.base_url) for server in servers)
    where = {"base_url": servers[0].base_url} if len(servers) == 1 else {"endpoints": many}

    async def main() -> list[Reply]:
        async with RemoteTeacher(
            RemoteConfig(model="m", **where, **config), books, clock or Hasty()
        ) as teacher:
            return [await teacher.complete(request) for _ in range(times)]

    return asyncio.run(asyncio.wait_for(main(), 30))


def test_one_request() -> None:
    books = Books()
    with serving(GOOD) as server:
        [reply] = ask(server, books=books)
    assert (reply.message.content, reply.usage, reply.estimated) == (
        "hi",
        Usage(calls=1, prompt=5, completion=1),
        False,
    )
    [(path, headers, body)] = server.posts
    assert path == "/v1/chat/completions"
    assert "authorization" not in {name.lower() for name in headers}
    assert body == {
        "model": "m",
        "seed": 3,
        "temperature": 0.6,
        "max_tokens": 8192,
        "messages": [{"role": "user", "content": "hello"}],
    }
    assert books.lines == ["hold", "settled"]


def test_what_a_server_refuses_can_be_left_out() -> None:
    with serving(GOOD) as server:
        ask(server, omit=("seed", "temperature"), max_tokens_field="max_completion_tokens", max_tokens=7)
    assert server.posts[0][2] == {
        "model": "m",
        "max_completion_tokens": 7,
        "messages": [{"role": "user", "content": "hello"}],
    }


TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "look", "description": "", "parameters": {"type": "object"}}}
]
WITH_TOOLS = ChatRequest(messages=HELLO.messages, tools=TOOLS)
BLOCKS = json.dumps(
    {"content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 5, "output_tokens": 1}}
)
ANSWERS: dict[str, Answer] = {"chat": GOOD, "anthropic": (200, {}, BLOCKS)}
WISHES: dict[str, tuple[str, Any]] = {
    "chat": ("parallel_tool_calls", False),
    "anthropic": ("tool_choice", {"type": "auto", "disable_parallel_tool_use": True}),
}


@pytest.mark.parametrize("dialect", ["chat", "anthropic"])
def test_one_call_in_a_reply_is_asked_for_where_there_are_tools(dialect: str) -> None:
    field, wish = WISHES[dialect]
    with serving(ANSWERS[dialect]) as server:
        ask(server, request=WITH_TOOLS, dialect=dialect)
        ask(server, dialect=dialect)
        ask(server, request=WITH_TOOLS, dialect=dialect, omit=("parallel_tool_calls",))
    assert [body.get(field) for _, _, body in server.posts] == [wish, None, None]


@pytest.mark.parametrize("dialect", ["chat", "anthropic"])
@pytest.mark.parametrize(
    "refusal",
    [
        (400, {}, '{"error": {"message": "Unrecognized request argument supplied: parallel_tool_calls"}}'),
        (422, {}, '{"detail": [{"type": "extra_forbidden", "loc": ["body", "tool_choice"]}]}'),
        (400, {}, "Bad Request"),
        (405, {}, ""),
        (200, {}, '{"error": {"code": 400, "message": "unknown field"}}'),
    ],
)
def test_a_server_that_does_not_know_it_is_asked_without_and_remembered(
    dialect: str, refusal: Answer
) -> None:
    books = Books()
    with serving(refusal, ANSWERS[dialect]) as server:
        replies = ask(server, request=WITH_TOOLS, books=books, times=3, dialect=dialect, retries=0)
    assert [reply.message.content for reply in replies] == ["hi"] * 3
    field, _ = WISHES[dialect]
    assert [field in body for _, _, body in server.posts] == [True, False, False, False]
    ended = "uncertain" if refusal[0] == 200 else "released"
    assert books.lines == ["hold", ended, *["hold", "settled"] * 3]


def test_each_endpoint_is_remembered_by_itself() -> None:
    refusal = (400, {}, "parallel_tool_calls: extra inputs are not permitted")
    with serving(refusal, GOOD, (500, {}, "oops"), GOOD) as old, serving(GOOD) as new:
        ask(old, new, request=WITH_TOOLS, times=3)
    asked_old, asked_new = (["parallel_tool_calls" in body for _, _, body in one.posts] for one in (old, new))
    assert asked_old == [True, False, False, False]
    assert asked_new == [True]


def test_other_refusals_do_not_lose_the_wish_for_one_call() -> None:
    """Asked twice only where nobody can know why; a server that has answered is believed."""
    policy = (400, {}, '{"error": {"message": "content policy"}}')
    with serving(GOOD, policy, GOOD) as server, pytest.raises(TeacherRefused, match="content policy"):
        ask(server, request=WITH_TOOLS, times=2)
    assert ["parallel_tool_calls" in body for _, _, body in server.posts] == [True, True]

    async def main(base_url: str) -> None:
        async with RemoteTeacher(RemoteConfig(model="m", base_url=base_url), None, Hasty()) as teacher:
            with pytest.raises(TeacherRefused, match="content policy"):
                await teacher.complete(WITH_TOOLS)
            await teacher.complete(WITH_TOOLS)

    with serving(policy, policy, GOOD) as server:
        asyncio.run(asyncio.wait_for(main(server.base_url), 30))
    assert ["parallel_tool_calls" in body for _, _, body in server.posts] == [True, False, True]


@pytest.mark.parametrize(
    ("trouble", "end"),
    [
        ((500, {}, "oops"), "uncertain"), ((502, {}, "<html>bad gateway</html>"), "uncertain"), ((503, {}, "loading"), "uncertain"),
        ((429, {"retry-after": "0"}, "slow down"), "released"), ((408, {}, ""), "uncertain"), ((409, {}, ""), "released"),
        ((200, {}, "no json"), "uncertain"), ((200, {}, "[" * 100_000), "uncertain"), ((200, {}, "[]"), "uncertain"), ((200, {}, '{"choices": []}'), "uncertain"),
        ((200, {}, '{"choices": [], "usage": {"prompt_tokens": 3}}'), "settled"), (answer(model="gpt-2"), "settled"),
        ((200, {}, '{"error": {"code": 429, "message": "busy"}}'), "uncertain"), ((200, {}, '{"error": "busy", "usage": {"prompt_tokens": 3}}'), "settled"), (HANG_UP, "uncertain"),
        ((200, {"x-length": "999"}, '{"choices"'), "uncertain"), ((200, {"x-wait": "0.5"}, ""), "uncertain"),
    ],
    ids=["500", "502", "503", "429", "408", "409", "no-json", "deep", "list", "no-choices", "no-choices-counted", "other-model", "error-in-200", "error-counted", "hang-up", "half", "slow"],
)  # fmt: skip
def test_temporary_trouble_is_repeated(trouble: Answer, end: str) -> None:
    books = Books()
    with serving(trouble, GOOD) as server:
        [reply] = ask(server, books=books, timeout=0.3 if "x-wait" in trouble[1] else 20)
        assert reply.message.content == "hi"
    assert books.lines == ["hold", end, "hold", "settled"]


def test_repetitions_come_to_an_end_with_growing_pauses() -> None:
    clock = Hasty()
    with serving((500, {}, "oops")) as server, pytest.raises(TeacherError, match="500: oops"):
        ask(server, retries=4, trip_after=99, clock=clock)
    assert len(server.posts) == 5
    assert clock.pauses == [0.5, 1, 2, 4]


def test_pauses_are_as_long_as_the_server_says() -> None:
    clock = Hasty()
    with serving(
        (429, {"retry-after": "7"}, ""),
        (429, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, ""),
        (429, {"retry-after": "soon"}, ""),
        (429, {"retry-after": "9999"}, ""),
        GOOD,
    ) as server:
        ask(server, clock=clock)
    assert clock.pauses == [8.75, 0.625, 2, 75]


def test_a_busy_server_is_waited_for_and_costs_no_repetition() -> None:
    for status in (429, 503, 529):
        with serving(*[(status, {}, "busy")] * 3, GOOD) as server:
            assert ask(server, retries=0)[0].message.content == "hi"
        assert len(server.posts) == 4


def test_the_patience_with_a_busy_server_ends() -> None:
    """Counted from its first sign, and then a repetition is one again."""
    clock, wait = Hasty(), {"retry-after": "40"}
    with (
        serving((500, {}, "oops"), (429, wait, "slow down")) as server,
        pytest.raises(TeacherError, match="429"),
    ):
        ask(server, retries=2, patience=120, clock=clock)
    assert clock.pauses == [0.5, 50, 50, 50, 50]


def test_patience_does_not_outlast_whoever_asks() -> None:
    async def main(base_url: str) -> None:
        async with RemoteTeacher(RemoteConfig(base_url=base_url, model="m"), books) as teacher:
            async with asyncio.timeout(0.2):
                await teacher.complete(HELLO)

    books = Books()
    with serving((429, {"retry-after": "60"}, "")) as server, pytest.raises(TimeoutError):
        asyncio.run(main(server.base_url))
    assert books.lines == ["hold", "released"]


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (
            (400, {}, '{"error": {"message": "This model\'s maximum context length is 8192 tokens"}}'),
            ContextOverflow,
        ),
        ((400, {}, '{"error": {"message": "content policy"}}'), TeacherRefused),
        ((401, {}, "no"), TeacherUnusable),
        ((404, {}, "model m not found"), TeacherUnusable),
    ],
)
def test_final_refusals_are_not_repeated(trouble: Answer, error: type[Exception]) -> None:
    books = Books()
    with serving(trouble) as server, pytest.raises(error):
        ask(server, books=books)
    assert len(server.posts) == 1
    assert books.lines == ["hold", "released"]


def test_a_server_that_has_proved_itself_must_refuse_repeatedly() -> None:
    """A gateway that loses its backend for a moment says 404: not a reason to end a run of three days."""
    with serving((404, {}, "no such model"), GOOD, (404, {}, "no such model"), models=("m",)) as server:
        assert ask(server)[0].message.content == "hi"
        with pytest.raises(TeacherUnusable, match="no such model"):
            ask(server, retries=9, trip_after=4)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusals_of_one_moment_end_no_run(status: int) -> None:
    """However many requests meet them at once, and however few repetitions there are."""

    async def main(base_url: str) -> list[Reply]:
        config = RemoteConfig(base_url=base_url, model="m", retries=0)
        async with RemoteTeacher(config, clock=Quick()) as teacher:
            await teacher.complete(HELLO)
            return await asyncio.gather(*(teacher.complete(HELLO) for _ in range(16)))

    with serving(GOOD, *[(status, {}, "no")] * 17, GOOD) as server:
        assert len(asyncio.run(asyncio.wait_for(main(server.base_url), 20))) == 16
    assert len(server.posts) == 1 + 17 + 16


def test_refusals_that_last_end_the_run() -> None:
    clock = Hasty()
    with serving(GOOD, (401, {}, "no")) as server, pytest.raises(TeacherUnusable, match="401: no"):
        ask(server, times=2, retries=0, clock=clock)
    assert 60 < sum(clock.pauses) < 200
    assert len(server.posts) < 20


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"location": "https://new.example/v2/chat/completions?token=secret"}, ", https://new.example/v2"),
        ({"location": "https://user:secret@new.example/v2"}, ""),
        ({"location": "http://[secret"}, ""),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("status", [301, 308])
def test_an_address_that_has_moved(status: int, headers: dict[str, str], told: str) -> None:
    with serving((status, headers, "")) as server, pytest.raises(TeacherUnusable) as caught:
        ask(server)
    assert str(caught.value).endswith(f"it has moved: give its new address as base URL{told}")


def test_no_server_is_told_at_once() -> None:
    with serving(GOOD) as server:
        pass
    with pytest.raises(TeacherUnusable, match="Is the server running"):
        ask(server)


def test_a_server_that_counts_no_tokens() -> None:
    books = Books()
    with serving(answer(usage=None)) as server:
        [reply] = ask(server, books=books)
    assert reply.estimated
    assert 20 < reply.usage.prompt < 100
    assert 5 < reply.usage.completion < 100
    assert books.lines == ["hold", "uncertain"]


def test_ids_of_calls_are_unique_in_a_conversation() -> None:
    calls = [{"id": name, "function": {"name": "bash", "arguments": "{}"}} for name in ("a", "call_0", "a")]
    choice = {"message": {"content": "", "tool_calls": calls}, "finish_reason": "tool_calls"}
    before = (Message(role="assistant", tool_calls=(ToolCall(id="call_0", name="bash", arguments="{}"),)),)
    with serving((200, {}, json.dumps({"choices": [choice]}))) as server:
        [reply] = ask(server, request=ChatRequest(messages=before))
    assert [call.id for call in reply.message.tool_calls] == ["a", "call_0_2", "a_2"]


def test_what_cannot_be_encoded_is_refused() -> None:
    with serving(GOOD) as server, pytest.raises(TeacherRefused, match="encoded"):
        ask(server, request=ChatRequest(messages=(Message(role="user", content="\ud800"),)))


# ── streams ───────────────────────────────────────────────────────────────────────────────────────

EVENTS = {"content-type": "text/event-stream"}


def stream(*pieces: str, finish: str | None = "stop", done: bool = True) -> str:
    events: list[Any] = [{"choices": [{"delta": {"content": text}}]} for text in pieces]
    events += [
        {"choices": [{"delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
    ]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + (
        "data: [DONE]\n\n" if done else ""
    )


@pytest.mark.parametrize(
    "text",
    [
        stream("h", "i"),
        stream("h", "i", done=False),
        stream("hi", finish=None),
        ": wait\n\n" + stream("hi").replace("\n", "\r\n"),
    ],
)
def test_a_streamed_answer(text: str) -> None:
    with serving((200, EVENTS, text)) as server:
        [reply] = ask(server, stream=True)
    assert (reply.message.content, reply.usage) == ("hi", Usage(calls=1, prompt=5, completion=1))
    assert server.posts[0][2]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("trouble", "end"),
    [
        ((200, EVENTS, stream("h", finish=None, done=False)), "uncertain"),
        ((200, EVENTS | {"x-length": "9999"}, stream("h", finish=None, done=False)), "uncertain"),
        ((200, EVENTS | {"x-length": "9999", "x-stall": "9"}, stream("h", finish=None, done=False)), "uncertain"),
        ((200, EVENTS, "data: {oops\n\n"), "uncertain"),
        ((200, EVENTS, 'data: {"error": {"message": "died", "code": 502}}\n\n'), "uncertain"),
        ((200, EVENTS, 'data: {"choices": [{"delta": {"tool_calls": [7]}}]}\n\n'), "uncertain"),
        ((200, EVENTS, 'data: {"usage": {"prompt_tokens": 5}}\n\ndata: {"error": "died"}\n\n'), "uncertain"),
        ((200, EVENTS, 'data: {"usage": {"prompt_tokens": 5}}\n\ndata: {"error": "died"}\n\ndata: [DONE]\n\n'), "settled"),
        ((200, EVENTS, "data: " + "[" * 100_000), "uncertain"),
        ((429, {}, "slow down"), "released"),
    ],
    ids=["no-end", "hang-up", "silence", "no-json", "error", "nonsense", "error-after-usage", "error-and-done", "deep", "429"],
)  # fmt: skip
def test_streams_that_fail_are_repeated(trouble: Answer, end: str) -> None:
    books = Books()
    with serving(trouble, (200, EVENTS, stream("hi"))) as server:
        assert ask(server, books=books, stream=True, silence=0.3)[0].message.content == "hi"
    assert books.lines == ["hold", end, "hold", "settled"]


def test_a_streamed_block_without_a_type_is_no_answer() -> None:
    block = {"type": "content_block_start", "index": 0, "content_block": {}}
    with serving((200, EVENTS, f"data: {json.dumps(block)}\n\n")) as server:
        with pytest.raises(TeacherError, match="unreadable"):
            ask(server, stream=True, dialect="anthropic", retries=0)


def test_a_server_that_does_not_stream_when_asked() -> None:
    with serving(GOOD) as server:
        assert ask(server, stream=True)[0].message.content == "hi"


# ── several endpoints ─────────────────────────────────────────────────────────────────────────────


def test_trouble_at_one_endpoint_is_repeated_at_the_other() -> None:
    with serving((500, {}, "oops")) as bad, serving(GOOD) as good:
        assert len(ask(bad, good, times=8, trip_after=2)) == 8
    assert len(good.posts) == 8
    assert len(bad.posts) <= 3


def test_a_repeat_goes_round_the_endpoints() -> None:
    with serving((500, {}, "oops")) as bad, serving(GOOD) as good:
        ask(bad, good)
        assert (len(bad.posts), len(good.posts)) == (1, 1)
    with serving((500, {}, "one")) as one, serving((500, {}, "two")) as two:
        with pytest.raises(TeacherError):
            ask(one, two, retries=5, trip_after=99)
        assert (len(one.posts), len(two.posts)) == (3, 3)


def test_an_endpoint_that_cannot_be_used_is_left_alone() -> None:
    with serving((401, {}, "no")) as bad, serving(GOOD) as good:
        assert len(ask(bad, good, times=4)) == 4
    assert (len(bad.posts), len(good.posts)) == (1, 4)
    with (
        serving((401, {}, "no")) as one,
        serving((404, {}, "nothing")) as two,
        pytest.raises(TeacherUnusable, match=r"401.*404"),
    ):
        ask(one, two)


def test_one_endpoint_that_is_not_there_is_borne() -> None:
    with serving(GOOD) as gone:
        pass
    with serving(GOOD) as server:
        assert len(ask(gone, server, times=3)) == 3


def test_a_straggler_is_put_to_another_endpoint() -> None:
    books = Books()
    with serving((200, {"x-wait": "20"}, "")) as slow, serving(GOOD) as quick:
        started = time.monotonic()
        [reply] = ask(slow, quick, books=books, hedge_after=0.1)
        assert time.monotonic() - started < 5
    assert reply.message.content == "hi"
    assert sorted(books.lines) == ["hold", "hold", "settled", "uncertain"]


def test_an_answer_in_time_is_put_to_no_second_endpoint() -> None:
    books = Books()
    with serving(GOOD) as one, serving(GOOD) as two:
        ask(one, two, books=books, hedge_after=5)
    assert len(one.posts) + len(two.posts) == 1
    assert books.lines == ["hold", "settled"]


def test_the_straggler_that_fails_first_does_not_end_the_race() -> None:
    late = {"x-wait": "0.2"}
    with serving((500, late, "oops")) as slow, serving((200, {"x-wait": "0.5"}, GOOD[2])) as slower:
        [reply] = ask(slow, slower, hedge_after=0.05, retries=0)
        assert reply.message.content == "hi"
        assert (len(slow.posts), len(slower.posts)) == (1, 1)
    books = Books()
    with serving((500, late, "one")) as one, serving((500, late, "two")) as two:
        with pytest.raises(TeacherError, match="500"):
            ask(one, two, books=books, hedge_after=0.05, retries=0)
    assert sorted(books.lines) == ["hold", "hold", "uncertain", "uncertain"]


class Short(Books):
    """Has money for a number of requests."""

    def __init__(self, covers: int) -> None:
        super().__init__()
        self.covers = covers

    async def reserve(self, worst: Usage) -> int:
        if self.lines.count("hold") == self.covers:
            raise BudgetExhausted("max_usd")
        return await super().reserve(worst)


def test_a_second_request_that_the_budget_forbids_is_not_missed() -> None:
    late = (200, {"x-wait": "0.2"}, GOOD[2])
    with serving(late) as one, serving(late) as two:
        books = Short(1)
        assert ask(one, two, books=books, hedge_after=0.05)[0].message.content == "hi"
        assert books.lines == ["hold", "settled"]
        with pytest.raises(BudgetExhausted):
            ask(one, two, books=Short(0), hedge_after=0.05)
        assert len(one.posts) + len(two.posts) == 1


def test_without_another_endpoint_a_straggler_is_waited_for() -> None:
    books = Books()
    with serving((200, {"x-wait": "0.4"}, GOOD[2])) as server:
        ask(server, books=books, hedge_after=0.05)
    assert books.lines == ["hold", "settled"]


def test_a_cancelled_request_is_uncertain() -> None:
    books = Books()

    async def main(base_url: str) -> None:
        async with RemoteTeacher(RemoteConfig(base_url=base_url, model="m"), books) as teacher:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await teacher.complete(HELLO)

    with serving((200, {"x-wait": "9"}, "")) as server:
        asyncio.run(main(server.base_url))
    assert books.lines == ["hold", "uncertain"]


# ── settings ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000", "ftp://x/v1", "http://user:secret@host/v1", "http://host/v1?key=secret", "http://localhost:80a0/v1",
        "http://localhost:99999/v1", "http://[::1/v1", "http://:80/v1", "http://user:secret/1@host/v1", "http://host:80a0/v1?key=secret",
    ],
)  # fmt: skip
def test_addresses_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RemoteTeacher(RemoteConfig(base_url=url, model="m"))
    assert "secret" not in str(caught.value)
    assert ("secret" in url) or (url in str(caught.value))


def test_one_way_to_say_where() -> None:
    for config in ({}, {"base_url": "http://x", "endpoints": (Endpoint(base_url="http://y"),)}):
        with pytest.raises(ValueError, match="one of them"):
            RemoteConfig(model="m", **config)  # type: ignore[arg-type]


def test_settings_for_the_record_hold_no_address_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERA_API_KEY", "sk-test-0123456789")
    settings = RemoteTeacher(
        RemoteConfig(base_url="http://private.example/v1", model="m", omit=("temperature",))
    ).settings
    assert settings == {"kind": "chat", "model": "m", "max_tokens": 8192}
