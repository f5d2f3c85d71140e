"""The wire format: what goes out is plain, what comes in may be any server's."""

from typing import Any

import msgspec
import pytest

from sera.formats.messages import decode_message, encode_message, split_reasoning
from sera.records import Message, ToolCall, Usage
from sera.teachers.chat_wire import decode_reply, decode_request, encode_replies, encode_request
from sera.teachers.contract import ChatRequest, Reply, Sampling

CONVERSATION = (
    Message(role="system", content="s"),
    Message(role="user", content="ü"),
    Message(
        role="assistant",
        content="c",
        reasoning="r",
        tool_calls=(ToolCall(id="1", name="bash", arguments='{"command": "ls"}'),),
    ),
    Message(role="tool", content="OBSERVATION:\n.", tool_call_id="1"),
)


@pytest.mark.parametrize("message", CONVERSATION)
def test_messages_survive_the_round_trip(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


def test_requests_and_replies_survive_the_round_trip() -> None:
    tool = {"type": "function", "function": {"name": "bash"}}
    request = ChatRequest(messages=CONVERSATION, tools=[tool], seed=7)
    assert decode_request(encode_request(request, "m")) == request
    wanted = Sampling(max_tokens=9, temperature=0.6, top_p=0.5, stop=("a", "b"))
    told = decode_request(
        encode_request(request, "m", max_tokens=9, temperature=0.6, top_p=0.5, stop=["a", "b"])
    )
    assert told == msgspec.structs.replace(request, sampling=wanted)
    reply = Reply(
        message=CONVERSATION[2],
        finish_reason="tool_calls",
        usage=Usage(calls=1, prompt=9, cached=4, completion=2),
    )
    assert decode_reply(encode_replies([reply], "m", "id", 0)) == reply


def test_malformed_arguments_are_sent_as_valid_json() -> None:
    broken = ToolCall(id="1", name="bash", arguments='{"command": "ls', malformed=True)
    wire = encode_message(Message(role="assistant", tool_calls=(broken,)))
    assert wire["tool_calls"][0]["function"]["arguments"] == '{"malformed":"{\\"command\\": \\"ls"}'


@pytest.mark.parametrize(
    ("content", "reasoning", "rest"),
    [
        ("<think>\nhm\n</think>\n\nyes", "hm", "yes"),
        ("hm\n</think>\nyes", "hm", "yes"),
        ("yes <think>no</think>", "", "yes <think>no</think>"),
        ("<think></think>yes", "", "yes"),
        ("<think>unfinished", "", "<think>unfinished"),
        ("plain", "", "plain"),
    ],
)
def test_inline_reasoning(content: str, reasoning: str, rest: str) -> None:
    assert split_reasoning(content) == (reasoning, rest)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({"role": "assistant", "content": None}, Message(role="assistant")),
        ({"role": "assistant", "content": "x", "reasoning": "r"}, Message(role="assistant", content="x", reasoning="r")),
        ({"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]},
         Message(role="assistant", content="ab")),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
         Message(role="assistant", tool_calls=(ToolCall(id="call_0", name="f", arguments='{"a":1}'),))),
        ({"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "submit", "arguments": ""}}]},
         Message(role="assistant", tool_calls=(ToolCall(id="x", name="submit", arguments="{}"),))),
    ],
)  # fmt: skip
def test_shapes_of_different_servers(wire: dict[str, Any], expected: Message) -> None:
    assert decode_message(wire) == expected


def test_reply_without_usage_or_finish_reason() -> None:
    reply = decode_reply({"choices": [{"message": {"content": "x"}, "finish_reason": None}], "usage": None})
    assert (reply.finish_reason, reply.usage) == ("stop", Usage(calls=1))


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{}]}])
def test_malformed_bodies_raise_lookup_errors(body: dict[str, Any]) -> None:
    with pytest.raises((LookupError, TypeError)):
        decode_reply(body)
