"""Conversations as plain text in three roles, for the `chatml` template and its like.

    system     the recorded prompt, an empty line, the tool definitions
    user       the recorded text; or the answers of tools, each in <tool_response>
    assistant  <think> reasoning </think>, an empty line, the text, each call in <tool_call>

Tags, and the line breaks around them, are those of the Qwen3 family. How tools and calls are spelt
between the tags is the dialect's. A `<think>` block is written only if there was reasoning, and kept in
every turn: a server must not strip the earlier ones.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

from sera.datasets.formats.contract import Call, Tools, Turn, arguments_of
from sera.records import Message, ToolCall
from sera.teachers.chat_wire import split_reasoning

_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)


class Dialect(Protocol):
    """How one family of models spells tools and calls."""

    def describe(self, tools: Tools) -> str:
        """The part of the system prompt that defines the tools and says how to call them."""
        ...

    def write(self, call: ToolCall) -> str:
        """A call as it stands between its tags; one with malformed arguments as near as can be."""
        ...

    def read(self, body: str, tools: Tools) -> Call | None:
        """The call between two tags, or None if it is malformed."""
        ...


class TextFormat:
    """Renders everything into the text of the turns; consecutive tool answers share one turn."""

    tools_column = False

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def render(self, messages: Sequence[Message], tools: Tools) -> list[Turn]:
        grouped = groupby(enumerate(messages), lambda item: -1 if item[1].role == "tool" else item[0])
        return [self.turn([message for _, message in group], tools) for _, group in grouped]

    def turn(self, group: Sequence[Message], tools: Tools) -> Turn:
        """One turn from one message, or from tool messages that follow each other."""
        first = group[0]
        role = "user" if first.role == "tool" else first.role
        text = self._text(group, tools)
        train = role == "assistant" and self._legible(first, text, tools)
        row = {"role": role, "content": text, "train": train}
        return Turn(origin=first.role, role=role, text=text, train=train, row=row)

    def _text(self, group: Sequence[Message], tools: Tools) -> str:
        first = group[0]
        if first.role == "tool":
            return "\n".join(f"<tool_response>\n{message.content}\n</tool_response>" for message in group)
        if first.role == "assistant":
            return self._assistant(first)
        if first.role == "system" and tools:
            return f"{first.content}\n\n{self.dialect.describe(tools)}".lstrip("\n")
        return first.content

    def _assistant(self, message: Message) -> str:
        thought = f"<think>\n{message.reasoning}\n</think>\n\n" if message.reasoning else ""
        calls = [f"<tool_call>\n{self.dialect.write(call)}\n</tool_call>" for call in message.tool_calls]
        return thought + "\n".join([message.content, *calls] if message.content else calls)

    def _legible(self, message: Message, text: str, tools: Tools) -> bool:
        _, spoken = split_reasoning(text)
        read = [self.dialect.read(body, tools) for body in _CALL.findall(spoken)]
        recorded = [(call.name, arguments_of(call)) for call in message.tool_calls]
        return None not in read and read == recorded
