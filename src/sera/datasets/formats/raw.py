"""Conversations in the chat-completions form, with structured calls and a `tools` column.

For a trainer whose own template writes tool calls. One that does not know them drops them without a
word, so that nothing is learnt: prefer a text format unless the rendered rows have been looked at.

Every message has every key, empty where it means nothing, and arguments stay text: a table library would
otherwise give each call the parameters of all others, as nulls. Tokens are counted, and legibility is
judged, as the Hermes text of the same message.
"""

from collections.abc import Sequence
from typing import Any

from sera.datasets.formats.contract import Turn, canonical
from sera.datasets.formats.text import TextFormat
from sera.datasets.servers import Tools
from sera.records import Message
from sera.teachers.chat_wire import encode_message

_EMPTY: dict[str, Any] = {"content": "", "reasoning_content": "", "tool_calls": [], "tool_call_id": ""}


class RawFormat:
    """Structured messages, one turn for each recorded message."""

    tools_column = True

    def __init__(self, text: TextFormat) -> None:
        self._text = text

    def render(self, messages: Sequence[Message], tools: Tools) -> list[Turn]:
        return [self._turn(message, tools) for message in messages]

    def _turn(self, message: Message, tools: Tools) -> Turn:
        read = self._text.turn([message], tools)
        row = {"role": message.role, **_EMPTY, **encode_message(canonical(message)), "train": read.train}
        return Turn(origin=message.role, role=read.role, text=read.text, train=read.train, row=row)
