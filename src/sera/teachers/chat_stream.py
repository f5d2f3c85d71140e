"""A streamed chat completion, put together into the body that an unstreamed one has.

Tolerant like `chat_wire`: chunks without choices or with `usage: null`, a tool call that begins
without an index or an id, arguments as an object, a stream that ends without `[DONE]`.
"""

from collections.abc import Callable
from typing import Any

import msgspec

Json = dict[str, Any]
_TEXTS = ("content", "reasoning_content", "reasoning")
_PARTS = 64
"""Pieces that a name may come in and still be known when it comes again."""


class ChatStream:
    """Takes the events of one stream in order; `body` is what `chat_wire.decode_reply` reads."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[object, _Call] = {}
        self._finish: str | None = None
        self.hear: Callable[[str], None] | None = None
        """Told each piece of the answer's text."""
        self.complete = False
        """Whether the answer came to its end. A stream that breaks off before is no answer."""

    def feed(self, event: Json) -> None:
        """One chunk."""
        for name in ("model", "usage", "error"):
            if event.get(name):
                self._head[name] = event[name]
        for choice in event.get("choices") or ():
            if choice.get("index"):
                continue
            self._take(choice.get("delta") or choice.get("message") or {})
            if choice.get("finish_reason"):
                self._finish, self.complete = choice["finish_reason"], True
            if choice.get("error"):
                self._head["error"] = choice["error"]

    def body(self) -> Json:
        """The whole answer so far."""
        message: Json = {"role": "assistant"} | {name: "".join(t) for name, t in self._texts.items()}
        if self._calls:
            message["tool_calls"] = [call.body() for call in self._calls.values()]
        return self._head | {"choices": [{"message": message, "finish_reason": self._finish}]}

    def _take(self, delta: Json) -> None:
        for name in _TEXTS:
            if isinstance(delta.get(name), str):
                self._texts.setdefault(name, []).append(delta[name])
                if name == "content" and self.hear:
                    self.hear(delta[name])
        for call in delta.get("tool_calls") or ():
            self._calls.setdefault(self._key(call), _Call()).take(call)

    def _key(self, call: Json) -> object:
        """The call that a piece belongs to: by index, else a new id begins one, else the last one goes on."""
        if call.get("index") is not None:
            return call["index"]
        if call.get("id"):
            return call["id"]
        named = bool((call.get("function") or {}).get("name"))
        return len(self._calls) if named or not self._calls else next(reversed(self._calls))


class _Call:
    """One tool call, in pieces, which are joined once: joining each to the rest would take the square of
    them."""

    def __init__(self) -> None:
        self._id = ""
        self._names: list[str] = []
        self._arguments: list[str] = []

    def take(self, call: Json) -> None:
        """A piece."""
        function = call.get("function") or {}
        self._id = self._id or call.get("id") or ""
        if (name := function.get("name")) and not self._is_named(name):
            self._names.append(name)
        piece = function.get("arguments")
        if isinstance(piece, dict):
            piece = msgspec.json.encode(piece).decode()
        if piece:
            self._arguments.append(piece)

    def _is_named(self, name: str) -> bool:
        """Whether that is the whole name, come again."""
        return len(self._names) <= _PARTS and name == "".join(self._names)

    def body(self) -> Json:
        """As an unstreamed answer has it."""
        function = {"name": "".join(self._names), "arguments": "".join(self._arguments)}
        return {"id": self._id, "function": function}
