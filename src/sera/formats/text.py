"""Conversations as plain text in three roles, for the `chatml` template and its like.

    system     the recorded prompt; behind the first one an empty line and the tool definitions
    user       the recorded text; or the answers of tools, each in <tool_response>
    assistant  <think> reasoning </think>, an empty line, the text, each call in <tool_call>

Tags, and the line breaks around them, are those of the Qwen3 family. How tools and calls are spelt
between the tags is the dialect's. A `<think>` block is written only if there was reasoning, and kept in
every turn: a server must not strip the earlier ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Protocol

from sera.formats.contract import Arguments, Turn, arguments_of, canonical
from sera.formats.servers import OPEN, Parser, Tools, nulls, read_turn
from sera.records import Message, ToolCall


class Dialect(Protocol):
    """How one family of models spells tools and calls."""

    @property
    def parsers(self) -> Mapping[str, Parser]:
        """How servers read it, by the server's name."""
        ...

    def describe(self, tools: Tools) -> str:
        """The part of the system prompt that defines the tools and says how to call them."""
        ...

    def defined(self, prompt: str) -> Tools:
        """The tools that a system prompt describes, as far as a parser needs them."""
        ...

    def write(self, call: ToolCall) -> str:
        """A call as it stands between its tags; one with malformed arguments as near as can be."""
        ...


class TextFormat:
    """Renders everything into the text of the turns; consecutive tool answers share one turn."""

    tools_column = False

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def render(self, messages: Sequence[Message], tools: Tools) -> list[Turn]:
        return [self.turn(group, tools, first) for group, first in grouped(messages)]

    def turn(self, group: Sequence[Message], tools: Tools, describes: bool = False) -> Turn:
        """One turn from one message, or from tool messages that follow each other; `describes`: with the
        definitions of the tools behind it."""
        group = [canonical(message) for message in group]
        first = group[0]
        role = "user" if first.role == "tool" else first.role
        text = self._text(group, tools, describes)
        train = role == "assistant" and self._legible(first, text, tools)
        row = {"role": role, "content": text, "train": train}
        return Turn(origin=first.role, role=role, text=text, train=train, row=row)

    def comes_back(self, turn: Turn, tools: Tools) -> bool:
        read = read_turn(turn.text, self.dialect.parsers["vLLM"], tools)
        return self.turn([read], tools).text == turn.text

    def _text(self, group: Sequence[Message], tools: Tools, describes: bool) -> str:
        first = group[0]
        if first.role == "tool":
            return "\n".join(f"<tool_response>\n{message.content}\n</tool_response>" for message in group)
        if first.role == "assistant":
            return self._assistant(first)
        description = self.dialect.describe(tools) if describes and tools else ""
        return "\n\n".join(filter(None, (first.content, description)))

    def _assistant(self, message: Message) -> str:
        thought = f"<think>\n{message.reasoning}\n</think>" if message.reasoning else ""
        calls = [f"<tool_call>\n{self.dialect.write(call)}\n</tool_call>" for call in message.tool_calls]
        spoken = "\n".join([message.content, *calls] if message.content else calls)
        return "\n\n".join(filter(None, (thought, spoken)))

    def _legible(self, message: Message, text: str, tools: Tools) -> bool:
        calls = [(call.name, arguments_of(call)) for call in message.tool_calls]
        if OPEN in message.content or any(not _sound(call, tools) for call in calls):
            return False
        if any(call in calls[:number] for number, call in enumerate(calls)):
            return False
        wanted = _said(message)
        return all(_said(read_turn(text, parse, tools)) == wanted for parse in self.dialect.parsers.values())


def grouped(messages: Sequence[Message]) -> Iterator[tuple[list[Message], bool]]:
    """The messages of each turn, and whether it is the first system turn, which defines the tools."""
    found = groupby(enumerate(messages), lambda item: -1 if item[1].role == "tool" else item[0])
    told = False
    for _, numbered in found:
        group = [message for _, message in numbered]
        first = group[0].role == "system" and not told
        told |= first
        yield group, first


def _said(message: Message) -> tuple[str, str, list[tuple[str, str]]]:
    """All but the ids of the calls, which no text holds."""
    return message.reasoning, message.content, [(call.name, call.arguments) for call in message.tool_calls]


def _sound(call: tuple[str, Arguments | None], tools: Tools) -> bool:
    """Whether a call has a name, and arguments that are an object, no call themselves and without a null that
    the tool does not allow."""
    name, arguments = call
    if not name or arguments is None or arguments.keys() == {"name", "arguments"}:
        return False
    return not nulls((name, arguments), tools)
