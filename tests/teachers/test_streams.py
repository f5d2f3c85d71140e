"""Streams in every state of repair, cut into pieces anywhere."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sera.records import Message, ToolCall, Usage
from sera.teachers import anthropic_wire, chat_wire
from sera.teachers.anthropic_stream import AnthropicStream
from sera.teachers.chat_stream import ChatStream
from sera.teachers.ids import with_unique_ids
from sera.teachers.remote.sse import EventReader

RAW = (
    b": OPENROUTER PROCESSING\r\n\r\nevent: message\r\ndata: {\"choices\":[]}\r\n\r\n"
    b"data:{\"usage\":null,\"choices\":[{\"delta\":{\"content\":\"\xc3\xbc\"}}]}\n\n\n"
    b"id: 7\nretry: 3\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
)  # fmt: skip


@given(st.lists(st.integers(0, len(RAW)), max_size=12))
def test_events_are_the_same_however_they_arrive(cuts: list[int]) -> None:
    reader, events = EventReader(), []
    edges = [0, *sorted(cuts), len(RAW)]
    for start, end in itertools.pairwise(edges):
        events += reader.feed(RAW[start:end])
    events += reader.finish()
    assert [event["choices"] for event in events] == [
        [],
        [{"delta": {"content": "ü"}}],
        [{"delta": {}, "finish_reason": "stop"}],
    ]
    assert reader.done


def test_a_last_line_without_its_end() -> None:
    reader = EventReader()
    assert list(reader.feed(b'data: {"a": 1}')) == []
    assert list(reader.finish()) == [{"a": 1}]
    assert not reader.done


def test_a_byte_order_mark_takes_no_event_away() -> None:
    reader = EventReader()
    assert list(reader.feed(b'\xef\xbb\xbfdata: {"a": 1}\n')) == [{"a": 1}]


def test_a_line_that_is_no_object() -> None:
    with pytest.raises(msgspec.DecodeError):
        list(EventReader().feed(b"data: {oops\n"))


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}], "usage": None}


def piece(arguments: Any, name: str = "", **fields: Any) -> dict[str, Any]:
    return fields | {"function": {"arguments": arguments} | ({"name": name} if name else {})}


A, B = ToolCall(id="a", name="bash", arguments='{"x":1}'), ToolCall(id="b", name="edit", arguments='{"y":2}')


@pytest.mark.parametrize(
    "pieces",
    [
        [[piece("", "bash", index=0, id="a")], [piece('{"x"', index=0)], [piece(":1}", index=0)], [piece('{"y":2}', "edit", index=1, id="b")]],
        [[piece('{"x":1}', "bash", index=0, id="a"), piece('{"y":2}', "edit", index=1, id="b")]],
        [[piece('{"y"', "edit", index=1, id="b"), piece('{"x"', "bash", index=0, id="a")], [piece(":1}", index=0), piece(":2}", index=1)]],
        [[piece('{"x"', "bash", id="a")], [piece(":1}")], [piece('{"y":', "edit", id="b")], [piece("2}")]],
        [[piece({"x": 1}, "bash", index=0, id="a")], [piece({"y": 2}, "edit", index=1, id="b")]],
        [[piece('{"x":1}', "bash", index=0, id="a", type="function")], [piece("", "bash", index=0, id="a")], [piece(None, index=0)], [piece('{"y":2}', "edit", index=1, id="b")]],
    ],
    ids=["pieces", "whole", "interleaved", "no-index", "objects", "name-repeated"],
)  # fmt: skip
def test_calls_of_a_stream(pieces: list[list[dict[str, Any]]]) -> None:
    stream = ChatStream()
    stream.feed(delta(role="assistant", content=""))
    stream.feed(delta(reasoning_content="h"))
    stream.feed(delta(reasoning_content="m"))
    for calls in pieces:
        stream.feed(delta(tool_calls=calls))
    assert not stream.complete
    stream.feed(delta("tool_calls"))
    stream.feed({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
    reply = chat_wire.decode_reply(stream.body())
    assert stream.complete
    assert sorted(reply.message.tool_calls, key=lambda call: call.id) == [A, B]
    assert (reply.message.reasoning, reply.message.content, reply.usage) == (
        "hm",
        "",
        Usage(calls=1, prompt=5, completion=2),
    )


def test_a_stream_without_usage_is_estimated() -> None:
    stream = ChatStream()
    stream.feed(delta("stop", content="x"))
    assert chat_wire.decode_reply(stream.body()).estimated


def test_stream_of_anthropic() -> None:
    stream = AnthropicStream()
    events = [
        {"type": "message_start", "message": {"model": "m", "content": [], "usage": {"input_tokens": 3, "cache_read_input_tokens": 70, "output_tokens": 1}}},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "xyz"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "a", "name": "bash", "input": {}}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"x"'}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ":1}"}},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "c", "name": "submit", "input": {}}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]  # fmt: skip
    for event in events:
        assert not stream.complete
        stream.feed(event)
    assert stream.complete
    reply = anthropic_wire.decode_reply(stream.body())
    assert reply.message.reasoning == "hm"
    assert reply.message.tool_calls == (A, ToolCall(id="c", name="submit", arguments="{}"))
    assert (reply.finish_reason, reply.usage) == (
        "tool_calls",
        Usage(calls=1, prompt=73, cached=70, completion=9),
    )


def seconds(work: Callable[[int], None], size: int) -> float:
    started = time.process_time()
    work(size)
    return time.process_time() - started


def one_line(size: int) -> None:
    reader = EventReader()
    for _ in range(size):
        assert not list(reader.feed(b"x" * 40))


def one_call(size: int) -> None:
    stream = ChatStream()
    for _ in range(size):
        stream.feed(delta(tool_calls=[piece("x" * 200, index=0)]))
    assert len(chat_wire.decode_reply(stream.body()).message.tool_calls[0].arguments) == 200 * size


def one_name(size: int) -> None:
    stream = ChatStream()
    for number in range(size):
        stream.feed(delta(tool_calls=[piece("", f"{number:0200}", index=0)]))
    assert len(chat_wire.decode_reply(stream.body()).message.tool_calls[0].name) == 200 * size


def many_calls(size: int) -> None:
    stream = ChatStream()
    for number in range(size):
        stream.feed(delta(tool_calls=[piece("{", "a", id=f"call {number}"), piece("}")]))
    assert len(chat_wire.decode_reply(stream.body()).message.tool_calls) == size


def equal_ids(size: int) -> None:
    calls = tuple(ToolCall(id="x", name="a", arguments="{}") for _ in range(size))
    named = with_unique_ids(Message(role="assistant", tool_calls=calls), ())
    assert len({call.id for call in named.tool_calls}) == size


@pytest.mark.parametrize("work", [one_line, one_call, one_name, many_calls, equal_ids])
def test_work_grows_no_faster_than_a_stream(work: Callable[[int], None]) -> None:
    """Sixteen times as much takes some sixteen times as long; joining each piece to the rest took 256 times."""
    small = max(min(seconds(work, 2_000) for _ in range(3)), 0.002)
    assert seconds(work, 32_000) < 80 * small


def test_a_name_that_comes_again_after_pieces_of_it_is_the_same() -> None:
    stream = ChatStream()
    for name in ("ba", "sh", "bash", ""):
        stream.feed(delta(tool_calls=[piece("", name, index=0)]))
    assert chat_wire.decode_reply(stream.body()).message.tool_calls[0].name == "bash"
