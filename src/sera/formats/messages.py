"""One message in the chat-completions protocol, both ways: for clients, for our servers and for datasets.

Reading is tolerant, because servers differ: tool arguments may be text or an object, reasoning may
come as `reasoning_content`, as `reasoning` or inline in `<think>` tags. Writing is strict and plain.
"""

import re
from typing import Any

import msgspec

from sera.records import Message, ToolCall

_THINK = re.compile(r"\A\s*<think>(.*?)</think>\s*", re.DOTALL)

Json = dict[str, Any]


def encode_message(message: Message) -> Json:
    """One message as the protocol has it. Reasoning goes back as `reasoning_content`, which vLLM,
    SGLang and llama.cpp hand to the template, and others ignore."""
    wire: Json = {"role": message.role, "content": message.content}
    if message.reasoning:
        wire["reasoning_content"] = message.reasoning
    if message.tool_calls:
        wire["tool_calls"] = [_encode_call(call) for call in message.tool_calls]
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _encode_call(call: ToolCall) -> Json:
    """Servers parse the arguments of earlier calls and answer 400 if they cannot: malformed ones are
    wrapped."""
    arguments = call.arguments
    if call.malformed:
        arguments = msgspec.json.encode({"malformed": arguments}).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def decode_message(wire: Json) -> Message:
    """Read one message, whichever server or client wrote it."""
    reasoning, content = split_reasoning(_text(wire.get("content")))
    return Message(
        role=str(wire.get("role") or "assistant"),
        content=content,
        reasoning=_text(wire.get("reasoning_content") or wire.get("reasoning")) or reasoning,
        tool_calls=tuple(_decode_call(call, n) for n, call in enumerate(wire.get("tool_calls") or ())),
        tool_call_id=str(wire.get("tool_call_id") or ""),
    )


def _decode_call(wire: Json, position: int) -> ToolCall:
    function = wire.get("function") or {}
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments or {}).decode()
    return ToolCall(
        id=str(wire.get("id") or f"call_{position}"),
        name=str(function.get("name") or ""),
        arguments=arguments or "{}",
    )


def split_reasoning(content: str) -> tuple[str, str]:
    """(reasoning, rest) of a text that may begin with a `<think>` block, closed or only closed."""
    if found := _THINK.match(content):
        return found[1].strip("\n"), content[found.end() :]
    head, closing, rest = content.partition("</think>")
    if closing and "<think>" not in head:
        return head.strip("\n"), rest.lstrip()
    return "", content


def _text(content: object) -> str:
    """Content as text: a string, nothing, or a list of parts of which the text ones count."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
