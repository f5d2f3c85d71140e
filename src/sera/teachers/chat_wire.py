"""Requests and answers of the chat-completions protocol, both ways: for the client and for our servers.

Their messages are the matter of `formats.messages`. Streams are put together by `chat_stream` and then
read here. Counts may be missing.
"""

from typing import Any

from sera.formats.messages import decode_message, encode_message
from sera.records import Message, Usage
from sera.teachers.contract import ChatRequest, Reply, token_count

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
    """(usage, prompt tokens written to the cache), or None if the server did not count, or if what it says
    cannot be true.

    Cached tokens: `prompt_tokens_details` (OpenAI, vLLM, SGLang, OpenRouter, z.ai),
    `prompt_cache_hit_tokens` (DeepSeek), `cache_read_input_tokens` (gateways to Anthropic). Where a
    server leaves the reasoning out of the answer's tokens, the total still holds it.
    """
    if not isinstance(wire, dict):
        return None
    told = wire.get("prompt_tokens_details")
    details = told if isinstance(told, dict) else {}
    try:
        prompt, answer, total = (
            token_count(wire.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        )
        cached = max(
            token_count(details.get("cached_tokens")),
            token_count(wire.get("prompt_cache_hit_tokens")),
            token_count(wire.get("cache_read_input_tokens")),
        )
        written = max(
            token_count(details.get("cache_write_tokens")),
            token_count(wire.get("cache_creation_input_tokens")),
        )
    except ValueError:
        return None
    if not (prompt or answer) or max(cached, written) > prompt:
        return None
    return Usage(calls=1, prompt=prompt, cached=cached, completion=max(answer, total - prompt)), written
