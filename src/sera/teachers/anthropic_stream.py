"""A streamed answer of the Messages API, put together into the body that an unstreamed one has."""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class AnthropicStream:
    """Takes the events of one stream in order; `body` is what `anthropic_wire.decode_reply` reads."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._usage: Json = {}
        self._blocks: dict[int, Json] = {}
        self._pieces: dict[int, list[str]] = {}
        self.hear: Callable[[str], None] | None = None
        """Told each piece of the answer's text."""
        self.complete = False
        """Whether the answer came to its end. A stream that breaks off before is no answer."""

    def feed(self, event: Json) -> None:
        """One event; `ping` and unknown ones pass by."""
        match event.get("type"):
            case "message_start":
                self._head = {k: v for k, v in event["message"].items() if k not in ("content", "usage")}
                self._count(event["message"].get("usage"))
            case "content_block_start":
                self._blocks[event["index"]] = event["content_block"]
                self._pieces[event["index"]] = []
            case "content_block_delta":
                if piece := _PIECES.get(event["delta"].get("type")):
                    self._pieces[event["index"]].append(event["delta"][piece])
                    if piece == "text" and self.hear:
                        self.hear(event["delta"][piece])
            case "message_delta":
                self._head |= event["delta"]
                self._count(event.get("usage"))
            case "message_stop":
                self.complete = True
            case "error":
                self._head["error"] = event["error"]

    def body(self) -> Json:
        """The whole answer so far."""
        blocks = [self._block(index) for index in sorted(self._blocks)]
        return self._head | {"content": blocks, "usage": self._usage}

    def _block(self, index: int) -> Json:
        block, text = self._blocks[index], "".join(self._pieces[index])
        field = {"text": "text", "thinking": "thinking", "tool_use": "input"}.get(block["type"])
        if field is None or not text:
            return block
        return block | {field: text if field == "input" else str(block.get(field) or "") + text}

    def _count(self, usage: Json | None) -> None:
        """Later counts replace earlier ones; the last event often has only the answer's."""
        self._usage |= {name: value for name, value in (usage or {}).items() if value is not None}
