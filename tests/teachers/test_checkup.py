"""The check of an endpoint: against the rehearsal teacher's server, and against servers with one fault each."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from checkup_servers import (
    CALL,
    HTML,
    JSON,
    USAGE,
    Json,
    Reply,
    Respond,
    chat,
    endpoint,
    fine,
    hanging,
    saying,
)

from sera.errors import ConfigError
from sera.teachers import Endpoint
from sera.teachers.checkup import Checkup, Examined, Finding, check_endpoint, judge
from sera.teachers.checkup.probe import Answer
from sera.teachers.rehearsal import RehearsalTeacher
from sera.teachers.server import make_app


def check(url: str, model: str = "m", **more: Any) -> Checkup:
    settings: dict[str, Any] = {"speeds": (), "timeout": 5.0} | more
    examined = Examined(endpoint=Endpoint(base_url=url, key_env="CHECKUP_KEY"), model=model, **settings)
    return asyncio.run(check_endpoint(examined))


def check_server(respond: Respond, models: Json | str | None = None, **more: Any) -> Checkup:
    with endpoint(respond, models) as url:
        return check(url, **more)


def found(checkup: Checkup, name: str) -> Finding:
    return next(finding for finding in checkup.findings if finding.name == name)


@contextmanager
def rehearsing() -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(make_app(RehearsalTeacher(), "rehearsal"), port=0, log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize("given", ["[" * 100_000, '{"x": ' + "[" * 5000 + "]" * 5000 + "}", '"\\ud83d"'])
def test_arguments_that_nothing_can_read(given: str) -> None:
    call = {"function": {"name": "bash", "arguments": given}}
    answer = Answer(status=200, body={"choices": [{"message": {"tool_calls": [call]}}]})
    assert judge.arguments(answer).state == "problem"
    event = {"choices": [{"delta": {"tool_calls": [call]}}]}
    assert judge.streaming(Answer(status=200, events=(event,))).state == "problem"


def test_an_address_that_has_moved() -> None:
    answer = Answer(status=301, text="<html>Moved</html>", html=True)
    assert "https://" in judge.failed("reachable", answer, "KEY").cure


def test_the_rehearsal_teacher_is_usable() -> None:
    with rehearsing() as url:
        checkup = check(url, "rehearsal", speeds=(1, 8))
    assert checkup.usable
    assert not [finding for finding in checkup.findings if finding.state == "problem"]
    for name in (
        "model",
        "tool calls",
        "arguments",
        "reasoning",
        "history",
        "streaming",
        "usage",
        "prompt cache",
        "seed",
    ):
        assert found(checkup, name).state == "ok", name
    assert [speed.answered for speed in checkup.speeds] == [1, 8]
    assert all(speed.tokens_per_second > 0 for speed in checkup.speeds)


def test_a_good_server_has_nothing_against_it() -> None:
    checkup = check_server(fine)
    assert checkup.usable
    assert {finding.state for finding in checkup.findings} <= {"ok", "note"}
    assert found(checkup, "context").text.startswith("131,072 tokens")


@pytest.mark.parametrize(
    ("text", "parser"),
    [
        ('<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>', "--tool-call-parser hermes"),
        ("<tool_call>bash\n<arg_key>command</arg_key>\n<arg_value>ls</arg_value>\n</tool_call>", "--tool-call-parser glm45"),
        ("<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>", "--tool-call-parser qwen3_coder"),
        ('Sure:\n```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```', "--jinja"),
        ('{"name": "bash", "arguments": {"command": "ls"}}', "--jinja"),
        ('<invoke name="bash"><parameter name="command">ls</parameter></invoke>', "the parser made for the model"),
        ('[TOOL_CALLS][{"name": "bash"}]', "--tool-call-parser mistral"),
    ],
)  # fmt: skip
def test_a_tool_call_left_as_text_is_recognised(text: str, parser: str) -> None:
    checkup = check_server(saying(text))
    assert not checkup.usable
    calls = found(checkup, "tool calls")
    assert "left in the text" in calls.text
    assert parser in calls.cure


def test_a_model_without_tools() -> None:
    checkup = check_server(saying("I would list the files with ls."))
    assert not checkup.usable
    assert "it said: I would list" in found(checkup, "tool calls").text


def test_arguments_that_are_no_json() -> None:
    broken = CALL | {"function": {"name": "bash", "arguments": "{command: ls"}}
    checkup = check_server(lambda body: chat({"content": "", "tool_calls": [broken]}))
    assert not checkup.usable
    assert "not a JSON object" in found(checkup, "arguments").text


def test_inline_thinking_is_a_note() -> None:
    inline = {"content": "<think>hm</think>ok", "tool_calls": [CALL]}
    checkup = check_server(lambda body: fine(body) if body.get("stream") else chat(inline))
    assert checkup.usable
    assert found(checkup, "reasoning").state == "note"


def without_usage(body: Json) -> Reply:
    return chat({"content": "", "tool_calls": [CALL]}, usage=None)


def uncached(body: Json) -> Reply:
    return chat(
        {"content": "", "tool_calls": [CALL]}, usage=USAGE | {"prompt_tokens_details": {"cached_tokens": 0}}
    )


def undetailed(body: Json) -> Reply:
    return chat({"content": "", "tool_calls": [CALL]}, usage=USAGE | {"prompt_tokens_details": None})


@pytest.mark.parametrize(
    ("respond", "name", "cure"),
    [
        (without_usage, "usage", "budget"),
        (undetailed, "prompt cache", "--enable-prompt-tokens-details"),
        (uncached, "prompt cache", "--enable-prefix-caching"),
        (uncached, "streaming", "leave teacher.stream off"),
    ],
)
def test_problems_that_one_can_live_with(respond: Respond, name: str, cure: str) -> None:
    checkup = check_server(respond)
    assert found(checkup, name).state == "problem"
    assert cure in found(checkup, name).cure
    assert checkup.usable


def test_history_that_is_refused() -> None:
    def respond(body: Json) -> Reply:
        if body["messages"][-1]["role"] == "tool":
            return 400, JSON, '{"error": {"message": "unexpected role tool"}}'
        return fine(body)

    checkup = check_server(respond)
    assert not checkup.usable
    assert "unexpected role tool" in found(checkup, "history").text


@pytest.mark.parametrize(
    ("reply", "cure"),
    [
        ((404, JSON, '{"error": {"message": "The model `m` does not exist."}}'), "check --model"),
        ((401, JSON, '{"error": {"message": "bad key"}}'), "CHECKUP_KEY"),
        ((200, HTML, "<!DOCTYPE html><html>Welcome</html>"), "usually ends in /v1"),
        ((200, JSON, '{"error": {"message": "upstream"}}'), "not as the chat-completions protocol has it"),
        ((400, JSON, '{"message": "\\"auto\\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"}'), "--enable-auto-tool-choice"),
        ((500, JSON, '{"error": {"message": "tools param requires --jinja flag"}}'), "--jinja"),
        ((502, JSON, ""), "log"),
    ],
)  # fmt: skip
def test_no_answer_at_all(reply: Reply, cure: str) -> None:
    checkup = check_server(lambda body: reply)
    assert not checkup.usable
    assert found(checkup, "answers").state == "problem"
    assert cure in found(checkup, "answers").cure
    assert checkup.findings[-1].name == "answers", "the rest is pointless"


def test_a_web_page_in_the_place_of_the_models() -> None:
    checkup = check_server(fine, "<html>Hello</html>")
    assert [finding.name for finding in checkup.findings] == ["reachable"]
    assert "usually ends in /v1" in checkup.findings[0].cure


def test_another_model_answers() -> None:
    checkup = check_server(lambda body: chat({"content": "", "tool_calls": [CALL]}, model="another"))
    assert "teacher.served_as" in found(checkup, "name").cure
    assert not checkup.usable


def test_a_model_that_is_not_listed() -> None:
    checkup = check_server(fine, {"data": [{"id": "x"}]})
    assert "not among x" in found(checkup, "model").text
    assert checkup.usable, "it answers all the same"


def test_nobody_there() -> None:
    checkup = check("http://127.0.0.1:9/v1")
    assert not checkup.usable
    assert "start the server" in found(checkup, "reachable").cure


def test_a_server_that_hangs() -> None:
    checkup = check_server(hanging, timeout=0.2)
    assert not checkup.usable
    assert "no answer within 0.2 s" in found(checkup, "answers").text


def test_the_whole_check_has_a_time_limit() -> None:
    def slow(body: Json) -> Reply:
        time.sleep(0.3)
        return fine(body)

    checkup = check_server(slow, time_limit=0.8)
    assert found(checkup, "time").state == "problem"
    assert found(checkup, "tool calls").state == "ok", "what was found is kept"


def test_the_context_from_the_words_of_a_refusal() -> None:
    def respond(body: Json) -> Reply:
        if body["max_tokens"] > 10**6:
            return 400, JSON, '{"message": "This model\'s maximum context length is 16384 tokens."}'
        return fine(body)

    context = found(check_server(respond, {"data": [{"id": "m"}]}), "context")
    assert context.state == "problem"
    assert "16,384 tokens (from the words" in context.text


def test_long_prompts_are_sent_only_if_asked_for() -> None:
    longest = 0

    def respond(body: Json) -> Reply:
        nonlocal longest
        size = len(body["messages"][-1]["content"])
        longest = max(longest, size)
        return fine(body) if size < 200_000 else (400, JSON, "{}")

    bare: Json = {"data": [{"id": "m"}]}
    assert found(check_server(respond, bare), "context").state == "note"
    assert longest < 50_000
    assert "32,768 tokens" in found(check_server(respond, bare, probe_context=True), "context").text


def test_the_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKUP_KEY", "sk-very-secret-key")
    checkup = check_server(lambda body: (401, JSON, '{"message": "sk-very-secret-key is wrong"}'))
    assert "sk-very-secret" not in str(checkup)
    assert found(check_server(fine), "key").text == "the one in CHECKUP_KEY is accepted"


def test_an_address_that_is_none() -> None:
    with pytest.raises(ConfigError, match="no URL"):
        check("localhost:8000")


@pytest.mark.parametrize(
    "body",
    ['{"choices": 3}', '{"choices": []}', '{"choices": [{"message": {"tool_calls": [{"function": "x"}]}}], "usage": []}',
     '{"choices": [{"message": {"content": ["a"], "tool_calls": {"a": 1}}}], "usage": 7}', "[]", "null", "{"],
)  # fmt: skip
def test_strange_bodies_are_findings_not_crashes(body: str) -> None:
    assert not check_server(lambda _: (200, JSON, body), {"data": [3, {"id": None}]}).usable


# ── a server that is there, and not ready ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "respond",
    [hanging, lambda body: (503, JSON, '{"error": {"message": "Loading model", "code": 503}}')],
    ids=["slow", "loading"],
)
def test_a_server_that_is_slow_or_loading_is_not_to_be_started(respond: Respond) -> None:
    answers = found(check_server(respond, timeout=0.3), "answers")
    assert "start the server" not in answers.cure
    assert "wait until its log says that it is ready" in answers.cure


def test_arguments_of_no_call_are_not_valid() -> None:
    checkup = check_server(saying("I would list the files with ls."))
    assert found(checkup, "arguments").state == "note"
    assert "JSON" not in found(checkup, "arguments").text


# ── the context ───────────────────────────────────────────────────────────────────────────────────


def test_the_context_that_llama_cpp_lists() -> None:
    listed: Json = {"data": [{"id": "m", "meta": {"n_ctx_train": 131072, "n_ctx": 8192}}]}
    context = found(check_server(fine, listed), "context")
    assert context.text.startswith("8,192 tokens (listed)")
    assert "llama.cpp: -c" in context.cure


def test_the_context_among_the_properties_of_llama_cpp() -> None:
    with endpoint(fine, {"data": [{"id": "m"}], "default_generation_settings": {"n_ctx": 40960}}) as url:
        assert found(check(url), "context").text == "40,960 tokens (n_ctx of llama.cpp, for one conversation)"


def test_the_context_in_llama_cpp_s_refusal() -> None:
    text = (
        '{"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 4096}}'
    )
    assert judge.limit_in(Answer(status=400, text=text)) == 4096


def test_no_request_asks_for_an_endless_answer() -> None:
    """A server without a limit of its own would write until it is stopped."""
    asked: list[Json] = []

    def respond(body: Json) -> Reply:
        asked.append(body)
        return fine(body)

    check_server(respond, {"data": [{"id": "m"}]})
    long = [body for body in asked if body.get("max_tokens", 0) > 4096]
    assert len(long) == 1
    assert long[0]["max_tokens"] <= 2**20
    assert long[0]["stop"] == [" ", "\n", "."], "the answer ends with its first word"


# ── several calls, and calls as text ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("calls", "state"), [(1, "ok"), (2, "problem")])
def test_one_call_is_asked_for_where_two_are_wished(calls: int, state: str) -> None:
    wishes: list[Json] = []

    def respond(body: Json) -> Reply:
        if "parallel_tool_calls" not in body:
            return fine(body)
        wishes.append(body)
        return chat({"content": "", "tool_calls": [CALL | {"id": f"call_{n}"} for n in range(calls)]})

    checkup = check_server(respond)
    several = found(checkup, "several calls")
    assert (several.state, "parallel_tool_calls=false" in several.text) == (state, True)
    assert [wish["parallel_tool_calls"] for wish in wishes] == [False]
    assert checkup.usable


HERMES = (
    '<think>\nhm\n</think>\n\n<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'
)
XML = "<function=bash>\n<parameter=command>ls</parameter>\n</function>"


@pytest.mark.parametrize(("style", "text"), [("hermes", HERMES), ("xml", XML)])
def test_a_student_that_writes_its_calls_as_text(style: str, text: str) -> None:
    asked: list[Json] = []

    def respond(body: Json) -> Reply:
        asked.append(body)
        return chat({"content": text})

    checkup = check_server(respond, format=style)
    assert checkup.usable, checkup.findings
    assert found(checkup, "tool calls").state == found(checkup, "arguments").state == "ok"
    assert not [body for body in asked if "tools" in body]
    assert {one["role"] for body in asked for one in body["messages"]} <= {"system", "user", "assistant"}
    assert not check_server(saying("I am a poet."), format=style).usable
