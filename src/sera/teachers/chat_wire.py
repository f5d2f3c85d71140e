"""The chat-completions wire format, both ways: for the client, for our servers and for datasets.

Reading is tolerant, because servers differ: tool arguments may be text or an object, reasoning may
come as `reasoning_content`, as `reasoning` or inline in `<think>` tags, counts may be missing.
Streams are put together by `chat_stream` and then read here.
Writing is strict and plain.
"""

import re
from typing import Any

import msgspec

from sera.records import Message, ToolCall, Usage
from sera.teachers.contract import ChatRequest, Reply

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


def encode_request(request: ChatRequest, model: str, **sampling: object) -> Json:
    """The body of a chat-completions request."""
    body: Json = {
        "model": model,
        "messages": [encode_message(message) for message in request.messages],
        "seed": request.seed,
        **sampling,
    }
    if request.tools:
        body["tools"] = request.tools
    return body


def decode_request(body: Json) -> ChatRequest:
    """Read a request that a client sent to us; `KeyError` and `TypeError` mean it is malformed."""
    return ChatRequest(
        messages=tuple(decode_message(message) for message in body["messages"]),
        tools=list(body.get("tools") or ()),
        seed=int(body.get("seed") or 0),
    )


def encode_reply(reply: Reply, model: str, identity: str, created: int) -> Json:
    """The body of a chat-completions answer."""
    usage = reply.usage
    return {
        "id": identity,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {"index": 0, "message": encode_message(reply.message), "finish_reason": reply.finish_reason}
        ],
        "usage": {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.prompt + usage.completion,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
        },
    }


def decode_reply(body: Json) -> Reply:
    """Read an answer; `KeyError`, `IndexError` and `TypeError` mean it is malformed."""
    choice = body["choices"][0]
    message = decode_message(choice["message"])
    usage, written = decode_usage(body.get("usage")) or (Usage(calls=1), 0)
    return Reply(
        message=message,
        finish_reason=_finish(choice.get("finish_reason"), message),
        usage=usage,
        written=written,
        estimated=decode_usage(body.get("usage")) is None,
    )


def _finish(told: object, message: Message) -> str:
    """Servers have many words for the end; a cut-off answer stays one even if it holds a call."""
    if told in ("length", "max_tokens", "model_length"):
        return "length"
    if told == "error":
        raise ValueError("the server says that the answer is broken")
    return "tool_calls" if message.tool_calls else "stop"


def decode_usage(wire: object) -> tuple[Usage, int] | None:
    """(usage, prompt tokens written to the cache), or None if the server did not count.

    Cached tokens: `prompt_tokens_details` (OpenAI, vLLM, SGLang, OpenRouter, z.ai),
    `prompt_cache_hit_tokens` (DeepSeek), `cache_read_input_tokens` (gateways to Anthropic). Where a
    server leaves the reasoning out of the answer's tokens, the total still holds it.
    """
    if not isinstance(wire, dict) or not (wire.get("prompt_tokens") or wire.get("completion_tokens")):
        return None
    details = wire.get("prompt_tokens_details") or {}
    prompt = _count(wire, "prompt_tokens")
    cached = max(
        _count(details, "cached_tokens"),
        _count(wire, "prompt_cache_hit_tokens"),
        _count(wire, "cache_read_input_tokens"),
    )
    written = max(_count(details, "cache_write_tokens"), _count(wire, "cache_creation_input_tokens"))
    answer = max(_count(wire, "completion_tokens"), _count(wire, "total_tokens") - prompt)
    return Usage(calls=1, prompt=prompt, cached=min(cached, prompt), completion=answer), written


def _count(wire: Json, name: str) -> int:
    return max(int(wire.get(name) or 0), 0)
