"""Requests and answers of the chat-completions protocol, both ways: for the client and for our servers.

Their messages are the matter of `formats.messages`. Streams are put together by `chat_stream` and then
read here. Counts may be missing.
"""

from typing import Any

from sera.formats.messages import decode_message, encode_message
from sera.records import Message, Usage
from sera.teachers.contract import ChatRequest, Reply

Json = dict[str, Any]


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
