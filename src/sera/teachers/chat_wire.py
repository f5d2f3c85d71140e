"""Requests and answers of the chat-completions protocol, both ways: for the client and for our servers.

Their messages are the matter of `formats.messages`. Streams are put together by `chat_stream` and then
read here. Counts may be missing.
"""

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sera.formats.messages import decode_message, encode_message
from sera.records import Message, Usage
from sera.teachers.contract import MOST_TOKENS, ChatRequest, Reply, Sampling, token_count

Json = dict[str, Any]
_N = TypeVar("_N", int, float)
_SEEDS = 2**31
"""As many as every engine takes."""
_STOPS = 16
_NEVER: dict[str, tuple[object, ...]] = {
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "response_format": (None, {"type": "text"}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "functions": (None, []),
    "function_call": (None, "auto", "none"),
}
"""What would change an answer and no teacher can do, with the values that ask for nothing."""


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
    """Read a request that a client sent to us. Without a seed it gets one by chance, so that the same
    question again is another try. `KeyError`, `TypeError`, `ValueError` and `AttributeError` mean that it is
    malformed, or asks for what no teacher can do."""
    if asked := [name for name, harmless in _NEVER.items() if body.get(name) not in harmless]:
        raise ValueError(f"{', '.join(asked)}: not supported")
    if kinds := {kind for message in body["messages"] for kind in _unread_parts(message.get("content"))}:
        raise ValueError(f"messages hold {', '.join(sorted(kinds))}: only text is read")
    tools, must_call = _offered(_tools(body.get("tools")), body.get("tool_choice"))
    seed = _number(body, ("seed",), int, -(2**63), 2**63 - 1)
    return ChatRequest(
        messages=tuple(decode_message(message) for message in body["messages"]),
        tools=tools,
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        sampling=Sampling(
            max_tokens=_number(body, ("max_completion_tokens", "max_tokens"), int, 1, MOST_TOKENS),
            temperature=_number(body, ("temperature",), float, 0, 100),
            top_p=_number(body, ("top_p",), float, 1e-6, 1),
            stop=_stops(body.get("stop")),
            must_call=must_call,
        ),
    )


def _unread_parts(content: object) -> Iterator[str]:
    """The kinds of a message's parts that are no text."""
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            yield str(part.get("type"))[:40] if isinstance(part, dict) else "parts of no kind"


def _tools(told: object) -> list[Json]:
    tools = [] if told is None else told
    if not isinstance(tools, list) or not all(_is_named(tool) for tool in tools):
        raise ValueError("tools: a list of functions, each with a name")
    return tools


def _is_named(tool: object) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _offered(tools: list[Json], choice: object) -> tuple[list[Json], bool]:
    """(the tools that may be called, whether one must be) by a `tool_choice`."""
    if choice in (None, "auto"):
        return tools, False
    if choice == "none":
        return [], False
    if choice != "required":
        if not isinstance(choice, dict) or not isinstance(choice.get("function"), dict):
            raise ValueError(f"tool_choice {choice!r:.40}: auto, none, required or a function's name")
        name = choice["function"].get("name")
        tools = [tool for tool in tools if tool["function"]["name"] == name]
    if not tools:
        raise ValueError("tool_choice demands a call of a tool that is not offered")
    return tools, True


def _number(body: Json, names: Sequence[str], kind: type[_N], least: float, most: float) -> _N | None:
    """The first of these fields that is there."""
    found = next((body[name] for name in names if body.get(name) is not None), None)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= most:
        raise ValueError(f"{names[-1]} {found!r:.40}: a number from {least:g} to {most:g}")
    if kind(found) != found:
        raise ValueError(f"{names[-1]} {found!r:.40}: a whole number")
    return kind(found)


def _stops(told: object) -> tuple[str, ...]:
    texts = (told,) if isinstance(told, str) else tuple(told or ()) if isinstance(told, list | None) else None
    if texts is None or len(texts) > _STOPS or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"stop: a text, or a list of at most {_STOPS}")
    return texts


def encode_replies(replies: Sequence[Reply], model: str, identity: str, created: int) -> Json:
    """The body of a chat-completions answer, or of several to one request: the prompt counts once."""
    usage, written = replies[0].usage, sum(reply.usage.completion for reply in replies)
    return {
        "id": identity,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {"index": n, "message": encode_message(reply.message), "finish_reason": reply.finish_reason}
            for n, reply in enumerate(replies)
        ],
        "usage": {
            "prompt_tokens": usage.prompt,
            "completion_tokens": written,
            "total_tokens": usage.prompt + written,
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
