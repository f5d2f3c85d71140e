"""What each server really sends, written down by hand: answers, errors, streams."""

from typing import Any

import httpx2
import msgspec
import pytest

from sera.records import ToolCall, Usage
from sera.teachers.contract import Reply
from sera.teachers.remote.config import DialectName, RemoteConfig
from sera.teachers.remote.dialects import dialect
from sera.teachers.remote.failures import (
    BROKEN,
    BUSY,
    DEFERRED,
    DOWN,
    EXPIRED,
    LOST,
    OVERFLOW,
    REFUSED,
    UNUSABLE,
    Failure,
    by_status,
)
from sera.teachers.remote.keys import Key
from sera.teachers.remote.reading import Reader

LS = ToolCall(id="c1", name="bash", arguments='{"command": "ls"}')
CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}


def read(
    body: dict[str, Any], model: str = "m", name: DialectName = "chat", **config: Any
) -> Reply | Failure:
    """A 200 with that body, as the teacher understands it."""
    settings = RemoteConfig(base_url="http://x/v1", model=model, **config)
    reader = Reader("http://x/v1", settings.addresses[0], Key(""), settings, dialect(name))
    return reader.response(httpx2.Response(200, content=msgspec.json.encode(body)), 0.0)


def chat(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish}],
    } | more


ANSWERS = {
    "vllm": (
        chat({"content": None, "reasoning_content": "hm", "tool_calls": [CALL]}, "tool_calls", model="m", prompt_logprobs=None,
             usage={"prompt_tokens": 90, "total_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": None}),
        ("", "hm", (LS,), "tool_calls", Usage(calls=1, prompt=90, completion=10), 0),
    ),
    "vllm-newer": (
        chat({"content": "", "reasoning": "hm", "reasoning_content": "hm"}, "stop",
             usage={"prompt_tokens": 90, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 64}}),
        ("", "hm", (), "stop", Usage(calls=1, prompt=90, cached=64, completion=10), 0),
    ),
    "sglang-inline-think": (
        chat({"content": "<think>\nhm\n</think>\n\nDone.", "tool_calls": None}, "stop", metadata={"weight_version": "default"},
             usage={"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "prompt_tokens_details": None, "reasoning_tokens": 0}),
        ("Done.", "hm", (), "stop", Usage(calls=1, prompt=5, completion=6), 0),
    ),
    "llama.cpp": (
        chat({"content": None, "tool_calls": [{"type": "function", "id": "", "function": {"name": "bash", "arguments": {"command": "ls"}}}]},
             "tool_calls", usage={"prompt_tokens": 5, "completion_tokens": 6}, timings={"prompt_n": 1}),
        ("", "", (ToolCall(id="call_0", name="bash", arguments='{"command":"ls"}'),), "tool_calls", Usage(calls=1, prompt=5, completion=6), 0),
    ),
    "openrouter": (
        chat({"content": "", "reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}], "tool_calls": [CALL | {"index": 0}]},
             "tool_calls", provider="Z.AI", model="z-ai/m",
             usage={"prompt_tokens": 9, "completion_tokens": 2, "cost": 0.1, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}),
        ("", "hm", (LS,), "tool_calls", Usage(calls=1, prompt=9, cached=4, completion=2), 3),
    ),
    "z.ai": (
        chat({"content": "\nI look.\n", "reasoning_content": "hm", "tool_calls": [CALL, CALL | {"id": "c2"}]}, "tool_calls", request_id="r",
             usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "prompt_tokens_details": {"cached_tokens": 4}}),
        ("\nI look.\n", "hm", (LS, ToolCall(id="c2", name="bash", arguments=LS.arguments)), "tool_calls", Usage(calls=1, prompt=9, cached=4, completion=2), 0),
    ),
    "openai": (
        chat({"content": "Hi", "refusal": None, "annotations": []}, "stop", model="m-2025-08-07", service_tier="default",
             usage={"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 5}}),
        ("Hi", "", (), "stop", Usage(calls=1, prompt=9, completion=7), 0),
    ),
    "deepseek": (
        chat({"content": "Hi"}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 7, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 1}),
        ("Hi", "", (), "stop", Usage(calls=1, prompt=9, cached=8, completion=7), 0),
    ),
    "reasoning-beside-the-answer": (
        chat({"content": "Hi"}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 116}),
        ("Hi", "", (), "stop", Usage(calls=1, prompt=9, completion=107), 0),
    ),
    "cut-off-inside-a-call": (
        chat({"content": None, "tool_calls": [{"id": "c1", "function": {"name": "bash", "arguments": '{"command": "l'}}]}, "length",
             usage={"prompt_tokens": 9, "completion_tokens": 7}),
        ("", "", (ToolCall(id="c1", name="bash", arguments='{"command": "l'),), "length", Usage(calls=1, prompt=9, completion=7), 0),
    ),
    "call-with-stop": (
        chat({"content": "", "tool_calls": [CALL]}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 7}),
        ("", "", (LS,), "tool_calls", Usage(calls=1, prompt=9, completion=7), 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("server", ANSWERS)
def test_answers(server: str) -> None:
    body, (content, reasoning, calls, finish, usage, written) = ANSWERS[server]
    reply = read(body)
    assert isinstance(reply, Reply), reply
    message = reply.message
    assert (message.content, message.reasoning, message.tool_calls) == (content, reasoning, calls)
    assert (reply.finish_reason, reply.usage, reply.written, reply.estimated) == (
        finish,
        usage,
        written,
        False,
    )


def test_answer_of_anthropic() -> None:
    body = {
        "type": "message", "role": "assistant", "model": "claude-3-7-sonnet-20250219", "stop_reason": "tool_use",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "xyz"}, {"type": "redacted_thinking", "data": "…"},
                    {"type": "text", "text": "I look."}, {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls"}}],
        "usage": {"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 70, "output_tokens": 9},
    }  # fmt: skip
    reply = read(body, "claude-3-7-sonnet-latest", "anthropic")
    assert isinstance(reply, Reply)
    assert (reply.message.content, reply.message.reasoning) == ("I look.", "hm")
    assert reply.message.tool_calls == (ToolCall(id="toolu_1", name="bash", arguments='{"command":"ls"}'),)
    assert (reply.finish_reason, reply.usage, reply.written) == (
        "tool_calls",
        Usage(calls=1, prompt=93, cached=70, completion=9),
        20,
    )


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "stop"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_ends_of_anthropic(stop: str, finish: str) -> None:
    reply = read({"content": [{"type": "text", "text": "x"}], "stop_reason": stop}, name="anthropic")
    assert isinstance(reply, Reply)
    assert (reply.finish_reason, reply.estimated) == (finish, True)


@pytest.mark.parametrize(
    ("body", "trouble", "told"),
    [
        ({"error": {"message": "Provider returned error", "code": 502}}, BROKEN, False),
        ({"error": {"message": "Rate limit exceeded", "code": 429}, "user_id": "u"}, BUSY, False),
        ({"error": {"message": "This endpoint's maximum context length is 131072 tokens", "code": 400}}, OVERFLOW, False),
        ({"error": {"code": "1302", "message": "rate limit"}}, BROKEN, False),
        ({"error": {"code": "429", "message": "slow down"}}, BUSY, False),
        ({"error": {"code": "rate_limit_exceeded", "type": "requests"}}, BUSY, False),
        ({"error": {"code": "context_length_exceeded", "message": "x"}}, OVERFLOW, False),
        ({"error": {"code": 503, "message": "died late"}, "usage": {"prompt_tokens": 5, "completion_tokens": 1}}, DOWN, True),
        ({"error": "worker died"}, BROKEN, False),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, DOWN, False),
        ({"choices": [{"error": {"code": 503, "message": "x"}, "message": {"content": ""}}]}, DOWN, False),
        ({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}, LOST, True),
        ({"choices": None}, LOST, False),
        (chat({"content": "half"}, "error"), LOST, False),
        ({"usage": {"prompt_tokens": "many", "completion_tokens": 1}}, LOST, False),
        (chat({"content": "x"}, model="gpt-2", usage={"prompt_tokens": 5, "completion_tokens": 1}), BROKEN, True),
    ],
)  # fmt: skip
def test_answers_that_are_none(body: dict[str, Any], trouble: object, told: bool) -> None:
    failure = read(body, model="glm-4.6")
    assert isinstance(failure, Failure)
    assert (failure.trouble, bool(failure.told)) == (trouble, told)
    assert failure.maybe_billed


@pytest.mark.parametrize(
    ("asked", "told", "same"),
    [
        ("glm-4.6", "z-ai/glm-4.6", True), ("z-ai/glm-4.6:free", "glm-4.6", True), ("zai-org/GLM-4.6", "glm-4.6", True),
        ("gpt-5", "gpt-5-2025-08-07", True), ("glm-4.6", "glm-4.5-air", False), ("mine", "gpt-4o", False), ("glm-4.5", "glm-4.5-air", False),
        ("glm-4", "glm-4.6", False), ("gpt-4o", "gpt-4o-mini", False), ("zai-org/GLM-4.6-FP8", "glm-4.6", True), ("glm-4.6", "/models/GLM-4.6-Q4_K_M.gguf", True), ("m", None, True),
    ],
)  # fmt: skip
def test_other_models_answers_are_refused(asked: str, told: str | None, same: bool) -> None:
    body = chat({"content": "x"}, model=told)
    assert isinstance(read(body, asked), Reply) is same
    assert isinstance(read(body, asked, served_as=(told or "x",)), Reply)
    assert isinstance(read(body, asked, served_as=("*",)), Reply)


OVERFLOWS = {
    "vllm": (400, '{"object":"error","message":"This model\'s maximum context length is 32768 tokens. However, you requested 40000 tokens (31808 in the messages, 8192 in the completion)."}'),
    "vllm-newer": (400, '{"error":{"message":"The decoder prompt (length 40000) is longer than the maximum model length of 32768. Make sure that max_model_len is no smaller than the number of text tokens."}}'),
    "sglang": (400, '{"object":"error","message":"The input (40000 tokens) is longer than the model\'s context length (32768 tokens)."}'),
    "sglang-total": (400, '{"message":"Requested token count exceeds the model\'s maximum context length of 32768 tokens."}'),
    "llama.cpp": (400, '{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error"}}'),
    "llama.cpp-older": (500, '{"error":{"message":"context size has been exceeded","type":"server_error"}}'),
    "openrouter": (400, '{"error":{"message":"This endpoint\'s maximum context length is 131072 tokens. However, you requested about 140000 tokens","code":400}}'),
    "z.ai": (400, '{"error":{"code":"1261","message":"Prompt exceeds max length"}}'),
    "openai": (400, '{"error":{"message":"Your input exceeds the context window of this model.","code":"context_length_exceeded"}}'),
    "azure": (400, '{"error":{"message":"This model\'s maximum context length is 8192 tokens. Please reduce the length of the messages.","code":"context_length_exceeded"}}'),
    "anthropic": (400, '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}'),
    "anthropic-sum": (400, '{"type":"error","error":{"message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}}'),
    "anthropic-bytes": (413, '{"type":"error","error":{"type":"request_too_large"}}'),
}  # fmt: skip


@pytest.mark.parametrize("server", OVERFLOWS)
def test_overflow_is_recognised_in_every_wording(server: str) -> None:
    assert by_status(*OVERFLOWS[server]) is OVERFLOW


@pytest.mark.parametrize(
    ("status", "detail", "trouble"),
    [
        (400, '{"error":{"message":"content policy"}}', REFUSED),
        (422, "[]", REFUSED),
        (401, "no", UNUSABLE),
        (402, '{"error":{"message":"Insufficient credits"}}', UNUSABLE),
        (429, '{"error":{"code":"insufficient_quota","message":"You exceeded your current quota"}}', UNUSABLE),
        (429, '{"error":{"code":"1113","message":"Insufficient balance or no resource package."}}', UNUSABLE),
        (400, '{"error":{"message":"Your credit balance is too low to access the Anthropic API."}}', UNUSABLE),
        (429, '{"error":{"message":"Too many tokens per minute"}}', BUSY),
        (529, '{"type":"error","error":{"type":"overloaded_error"}}', DOWN),
        (503, '{"error":{"message":"Loading model"}}', DOWN),
        (400, '{"message":"Too many tokens, please wait before trying again."}', BUSY),
        (500, '{"error":{"message":"litellm.RateLimitError: Too many tokens, please wait before trying again."}}', BUSY),
        (400, '{"error":{"message":"Too many tokens: 40000 of 32768"}}', OVERFLOW),
        (503, "the context window of 8 replicas is being moved", DOWN),
        (401, "prompt is too long for your plan", UNUSABLE),
        (301, "<html>moved</html>", UNUSABLE),
        (408, "", EXPIRED),
        (409, "", DEFERRED),
        (425, "", DEFERRED),
        (502, "<html>502 Bad Gateway</html>", BROKEN),
        (520, "cloud", BROKEN),
    ],
)  # fmt: skip
def test_refusals(status: int, detail: str, trouble: object) -> None:
    assert by_status(status, detail) is trouble
