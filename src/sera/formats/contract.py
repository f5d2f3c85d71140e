"""What a format promises: a recorded conversation as the turns a student reads and writes.

- Nothing recorded is lost or reworded: text, reasoning, names and arguments are in the turn, arguments
  with their keys in order and characters unescaped. Two things are brought to one spelling, because a
  server does so with every reply before it comes back as history: the white space around text and
  reasoning, which is dropped, and that between the JSON of arguments. See `canonical`.
- A turn is trained if it is an assistant's and legible: every server of `sera.formats.servers` reads from
  it the very calls, text and reasoning that were recorded. A call whose arguments are no JSON object is
  not legible, nor is one with a closing tag in the wrong place. Such turns stay, as context for what
  follows, with `train` false.
- The same conversation gives the same turns, in training and in serving.
"""

import json
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from sera.formats.servers import Tools
from sera.records import Message, ToolCall
from sera.untrusted import decode

Arguments = dict[str, Any]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of a formatted conversation."""

    origin: str
    """Role of the recorded message: `system`, `user`, `assistant` or `tool`."""
    role: str
    """Role under which the student sees it; empty if it sees it as part of the turn before."""
    text: str
    """What the student sees; the same as `row["content"]`, unless the format keeps calls apart."""
    train: bool
    row: dict[str, Any]
    """As it stands in the dataset: the same keys in every turn, `train` among them."""


class Format(Protocol):
    """One way to write conversations. Stateless."""

    @property
    def tools_column(self) -> bool:
        """Whether a row carries the tool definitions in a column, not in its system prompt."""
        ...

    def render(self, messages: Sequence[Message], tools: Tools) -> list[Turn]:
        """The turns of a conversation that begins with its system prompt."""
        ...

    def comes_back(self, turn: Turn, tools: Tools) -> bool:
        """Whether an assistant's turn that a server has read is written as the same turn again."""
        ...


def arguments_of(call: ToolCall) -> Arguments | None:
    """The arguments of a call, or None if their text is not a JSON object."""
    try:
        found: Arguments = decode(call.arguments, Arguments)
    except msgspec.DecodeError:
        return None
    return found


def canonical(message: Message) -> Message:
    """An assistant's message as it comes back from any server; others are as they are."""
    if message.role != "assistant":
        return message
    return msgspec.structs.replace(
        message,
        content=message.content.strip(),
        reasoning=message.reasoning.strip(),
        tool_calls=tuple(
            msgspec.structs.replace(call, arguments=_respelt(call)) for call in message.tool_calls
        ),
    )


def _respelt(call: ToolCall) -> str:
    arguments = arguments_of(call)
    return call.arguments if arguments is None else json.dumps(arguments, ensure_ascii=False)
