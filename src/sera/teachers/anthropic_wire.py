"""The wire format of Anthropic's Messages API, as a client writes and reads it.

What differs from our messages: the system prompt stands apart; the results of tools are blocks of a
user message, and neighbours of one role become one message; arguments are objects. The cache is told
where a stable prefix ends: after the tools and the system prompt, and after the last message, from
where the next request looks back.

Reasoning is read and kept, and not sent back: the API takes back only signed thinking blocks, and
requires them only where a request turns thinking on, which ours do not.
"""

import re
from typing import Any

import msgspec

from sera.records import Message, ToolCall, Usage
from sera.teachers.contract import ChatRequest, Reply, token_count
from sera.untrusted import decode

Json = dict[str, Any]
_STABLE = {"type": "ephemeral"}
_NOTHING = "(nothing)"
"""Stands for an empty text, which the API refuses."""
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_LENGTH = {"max_tokens", "model_context_window_exceeded"}


def encode_request(request: ChatRequest, model: str, **sampling: object) -> Json:
    """The body of a request. There is no seed in this protocol."""
    system = "\n\n".join(m.content for m in request.messages if m.role == "system")
    turns = _turns([m for m in request.messages if m.role != "system"])
    tools = [_tool(tool["function"]) for tool in request.tools]
    body: Json = {"model": model, "messages": turns, **sampling}
    if turns:
        turns[-1]["content"][-1]["cache_control"] = _STABLE
    if tools:
        body["tools"] = tools
    if system:
        body["system"] = [{"type": "text", "text": system, "cache_control": _STABLE}]
    elif tools:
        tools[-1]["cache_control"] = _STABLE
    return body


def _tool(function: Json) -> Json:
    return {
        "name": function["name"],
        "description": function.get("description") or "",
        "input_schema": function.get("parameters") or {"type": "object"},
    }


def _turns(messages: list[Message]) -> list[Json]:
    turns: list[Json] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> list[Json]:
    if message.role == "tool":
        identity = _FOREIGN.sub("_", message.tool_call_id)
        return [{"type": "tool_result", "tool_use_id": identity, "content": message.content or _NOTHING}]
    calls = [_use(call) for call in message.tool_calls]
    if message.content.strip() or not calls:
        text = message.content if message.content.strip() else _NOTHING
        return [{"type": "text", "text": text}, *calls]
    return calls


def _use(call: ToolCall) -> Json:
    return {
        "type": "tool_use",
        "id": _FOREIGN.sub("_", call.id),
        "name": _FOREIGN.sub("_", call.name) or "unnamed",
        "input": _arguments(call.arguments),
    }


def _arguments(text: str) -> Json:
    """The API takes only objects: anything else is wrapped."""
    try:
        arguments: Json = decode(text, Json)
        return arguments
    except msgspec.DecodeError:
        return {"malformed": text}


def decode_reply(body: Json) -> Reply:
    """Read an answer; `KeyError`, `TypeError` and `AttributeError` mean it is malformed."""
    blocks: list[Json] = body["content"]
    calls = tuple(_call(block, n) for n, block in enumerate(blocks) if block["type"] == "tool_use")
    message = Message(
        role="assistant",
        content=_join(blocks, "text"),
        reasoning=_join(blocks, "thinking"),
        tool_calls=calls,
    )
    cut_off = body.get("stop_reason") in _LENGTH
    counted = decode_usage(body.get("usage"))
    usage, written = counted or (Usage(calls=1), 0)
    return Reply(
        message=message,
        finish_reason="length" if cut_off else "tool_calls" if calls else "stop",
        usage=usage,
        written=written,
        estimated=counted is None,
    )


def _join(blocks: list[Json], kind: str) -> str:
    return "".join(str(block.get(kind) or "") for block in blocks if block["type"] == kind)


def _call(block: Json, position: int) -> ToolCall:
    given = block.get("input")
    arguments = given if isinstance(given, str) else msgspec.json.encode(given or {}).decode()
    return ToolCall(
        id=str(block.get("id") or f"call_{position}"), name=str(block["name"]), arguments=arguments
    )


def decode_usage(wire: object) -> tuple[Usage, int] | None:
    """(usage, prompt tokens written to the cache), or None if the server did not count, or if what it says
    cannot be true. The protocol counts cached tokens apart from the rest of the prompt."""
    if not isinstance(wire, dict) or not (wire.get("input_tokens") or wire.get("output_tokens")):
        return None
    try:
        plain, read, written, answer = (
            token_count(wire.get(name))
            for name in (
                "input_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
                "output_tokens",
            )
        )
    except ValueError:
        return None
    return Usage(calls=1, prompt=plain + read + written, cached=read, completion=answer), written
