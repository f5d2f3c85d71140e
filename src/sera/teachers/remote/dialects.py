"""The protocols a remote teacher may speak, each behind the same few functions. The only place where
one is chosen."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from sera.records import Usage
from sera.teachers import anthropic_wire, chat_wire
from sera.teachers.anthropic_stream import AnthropicStream
from sera.teachers.chat_stream import ChatStream
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.remote.config import DialectName, RemoteConfig
from sera.teachers.remote.keys import Key

Json = dict[str, Any]
ONE_CALL: Literal["parallel_tool_calls"] = "parallel_tool_calls"
"""Field of a chat request that, with false, asks for one tool call in a reply; stands in `omit` for every
protocol's."""
_VERSION = "2023-06-01"


class Stream(Protocol):
    """Puts the events of a stream together."""

    complete: bool
    hear: Callable[[str], None] | None
    """Told each piece of the answer's text."""

    def feed(self, event: Json) -> None:
        """One event."""
        ...

    def body(self) -> Json:
        """The answer in its unstreamed form."""
        ...


class Dialect(msgspec.Struct, frozen=True):
    """One protocol."""

    path: str
    """After the base URL."""
    headers: Callable[[Key, str], dict[str, str]]
    """(key, query of the address) to the headers that carry the key."""
    body: Callable[[ChatRequest, RemoteConfig], Json]
    reply: Callable[[Json], Reply]
    """`LookupError`, `TypeError`, `ValueError` or `AttributeError` mean that it is malformed."""
    usage: Callable[[object], tuple[Usage, int] | None]
    stream: Callable[[], Stream]


def dialect(name: DialectName) -> Dialect:
    """The protocol of that name."""
    return _DIALECTS[name]


def _chat_headers(key: Key, query: str) -> dict[str, str]:
    """An address with a version in its query is Azure's, which has a header of its own."""
    if not key:
        return {}
    if "api-version" in query:
        return {"api-key": key.header()}
    return {"authorization": key.header("Bearer")}


def _chat_body(request: ChatRequest, config: RemoteConfig) -> Json:
    sampling = _sampling(request, config, config.max_tokens_field, "stop")
    if config.stream or request.hear:
        sampling |= {"stream": True, "stream_options": {"include_usage": True}}
    if request.tools:
        sampling[ONE_CALL] = False
    if request.sampling.must_call:
        sampling["tool_choice"] = "required"
    body = chat_wire.encode_request(request, config.model, **sampling)
    return {name: value for name, value in body.items() if name not in config.omit}


def _sampling(request: ChatRequest, config: RemoteConfig, length: str, stop: str) -> Json:
    """What the request says, else the settings; `length` and `stop` are the protocol's names for these."""
    own = request.sampling
    found: Json = {
        "temperature": config.temperature if own.temperature is None else own.temperature,
        length: own.max_tokens or config.max_tokens,
    }
    if own.top_p is not None:
        found["top_p"] = own.top_p
    return found | ({stop: list(own.stop)} if own.stop else {})


def _anthropic_headers(key: Key, query: str) -> dict[str, str]:  # noqa: ARG001
    return {"anthropic-version": _VERSION} | ({"x-api-key": key.header()} if key else {})


def _anthropic_body(request: ChatRequest, config: RemoteConfig) -> Json:
    sampling = _sampling(request, config, "max_tokens", "stop_sequences")
    if config.stream or request.hear:
        sampling["stream"] = True
    if request.tools and ONE_CALL not in config.omit:
        kind = "any" if request.sampling.must_call else "auto"
        sampling["tool_choice"] = {"type": kind, "disable_parallel_tool_use": True}
    body = anthropic_wire.encode_request(request, config.model, **sampling)
    return {name: value for name, value in body.items() if name not in config.omit}


_DIALECTS: dict[DialectName, Dialect] = {
    "chat": Dialect(
        path="/chat/completions",
        headers=_chat_headers,
        body=_chat_body,
        reply=chat_wire.decode_reply,
        usage=chat_wire.decode_usage,
        stream=ChatStream,
    ),
    "anthropic": Dialect(
        path="/messages",
        headers=_anthropic_headers,
        body=_anthropic_body,
        reply=anthropic_wire.decode_reply,
        usage=anthropic_wire.decode_usage,
        stream=AnthropicStream,
    ),
}
