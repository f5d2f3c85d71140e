"""Conversations in the chat-completions form, with structured calls and a `tools` column.

For a trainer whose own template writes tool calls. One that does not know them drops them without a
word, so that nothing is learnt: prefer a text format unless the rendered rows have been looked at.

Every message has every key, empty where it means nothing, and arguments stay text: a table library would
otherwise give each call the parameters of all others, as nulls. Tokens are counted, and legibility is
judged, as the Hermes text of the same message.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from sera.formats.contract import Turn, canonical
from sera.formats.messages import encode_message
from sera.formats.servers import Tools
from sera.formats.text import TextFormat, grouped
from sera.records import Message

_EMPTY: dict[str, Any] = {"content": "", "reasoning_content": "", "tool_calls": [], "tool_call_id": ""}


class RawFormat:
    """Structured messages, one turn for each recorded message."""

    tools_column = True

    def __init__(self, text: TextFormat) -> None:
        self._text = text

    def render(self, messages: Sequence[Message], tools: Tools) -> list[Turn]:
        """A template writes answers that follow each other as one turn: the first stands for all."""
        turns = []
        for members, describes in grouped(messages):
            first = self._text.turn([_sent(message) for message in members], tools, describes)
            rest = msgspec.structs.replace(first, role="", text="")
            turns += [_turn(member, rest if n else first) for n, member in enumerate(members)]
        return turns

    def comes_back(self, turn: Turn, tools: Tools) -> bool:  # noqa: ARG002
        """Structured messages come back as they were sent."""
        return True


def _turn(message: Message, read: Turn) -> Turn:
    train = read.train and not any(call.malformed for call in message.tool_calls)
    row = {"role": message.role, **_EMPTY, **encode_message(_sent(message)), "train": train}
    return Turn(origin=message.role, role=read.role, text=read.text, train=train, row=row)


def _sent(message: Message) -> Message:
    """The message as a server gets it, which takes no malformed call: see `encode_message`."""
    wire = encode_message(message).get("tool_calls", ())
    calls = tuple(
        msgspec.structs.replace(call, arguments=sent["function"]["arguments"], malformed=False)
        for call, sent in zip(message.tool_calls, wire, strict=True)
    )
    return canonical(msgspec.structs.replace(message, tool_calls=calls))
