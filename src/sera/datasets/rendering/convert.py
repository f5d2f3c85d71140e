"""Rows from one format to another, where nothing is lost by it.

A row is read back into the messages it was made from and written again. What cannot be read back is
refused with the reason: the test is that writing it again in its own format gives the very same turns. What
no student sees does not count: the ids of calls are made anew.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from sera.datasets.rendering.render import Row, template_tools
from sera.errors import DatasetError
from sera.formats import Turn, find_format, tools_in
from sera.formats.hermes import Hermes
from sera.formats.servers import HERMES, XML, Tools, read_turn
from sera.formats.xml import Xml
from sera.records import Message, ToolCall

_OPEN, _CLOSE = "<tool_response>\n", "\n</tool_response>"


def convert_row(row: Row, source: str, target: str, tools: Tools = ()) -> dict[str, Any]:
    """The row of the format `source` in the format `target`.

    `tools` are the definitions as the harness profile has them; `xml` rows need them, they keep only a part.
    The columns `tokens` and `ratio` stay as they are: count the rows again if their tokens matter.
    Raises `DatasetError` if something would be lost.
    """
    known = _tools(row, source, tools)
    messages = _messages(row, source, known)
    again = [turn.row for turn in find_format(source).render(messages, known)]
    for number, (turn, old) in enumerate(
        zip_longest(again, row["messages"], fillvalue={"role": "", "content": ""})
    ):
        if _seen(turn) != _seen(old):
            raise DatasetError(
                f"sample {row.get('id')}, message {number}: it cannot be converted from {source} to {target} "
                f"without loss; build the dataset in the format {target} from its runs instead"
            )
    turns = find_format(target).render(messages, known)
    kept = {key: value for key, value in row.items() if key not in ("messages", "tools")}
    column = {"tools": msgspec.json.encode(known).decode()} if find_format(target).tools_column else {}
    return {**kept, "messages": _trained(turns, row), **column}


def _tools(row: Row, source: str, given: Tools) -> Tools:
    if source == "raw":
        return template_tools(row)
    prompt = str(row["messages"][0]["content"])
    if source == "hermes":
        return tools_in(source, prompt)
    if not prompt.endswith(Xml().describe(given)):
        raise DatasetError(
            f"sample {row.get('id')}: an xml row does not hold the whole definitions of its tools: give "
            f"those of its harness profile"
        )
    return given


def _messages(row: Row, source: str, tools: Tools) -> list[Message]:
    if source == "raw":
        return [_structured(message) for message in row["messages"]]
    messages: list[Message] = []
    for message in row["messages"]:
        messages += _spoken(message, source, tools, messages[-1] if messages else None)
    return messages


def _structured(message: dict[str, Any]) -> Message:
    calls = [
        ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    return Message(
        role=message["role"],
        content=message["content"],
        reasoning=message.get("reasoning_content") or "",
        tool_calls=tuple(calls),
        tool_call_id=message.get("tool_call_id") or "",
    )


def _spoken(message: dict[str, Any], source: str, tools: Tools, before: Message | None) -> Sequence[Message]:
    """The recorded messages that a turn of text was made from."""
    role, text = message["role"], message["content"]
    if role == "system":
        description = (Xml() if source == "xml" else Hermes()).describe(tools) if tools else ""
        return [Message(role=role, content=text.removesuffix(description).removesuffix("\n\n"))]
    if role == "assistant":
        return [read_turn(text, (XML if source == "xml" else HERMES)["vLLM"], tools)]
    if before and before.tool_calls and text.startswith(_OPEN) and text.endswith(_CLOSE):
        answers = text.removeprefix(_OPEN).removesuffix(_CLOSE).split(f"{_CLOSE}\n{_OPEN}")
        calls = before.tool_calls if len(answers) == len(before.tool_calls) else before.tool_calls[:1]
        answers = answers if len(answers) == len(calls) else [f"{_CLOSE}\n{_OPEN}".join(answers)]
        return [
            Message(role="tool", content=answer, tool_call_id=call.id)
            for answer, call in zip(answers, calls, strict=True)
        ]
    return [Message(role=role, content=text)]


def _trained(turns: Sequence[Turn], row: Row) -> list[dict[str, Any]]:
    """The turns' rows. What was not trained on before is not trained on now."""
    left_out = iter([not message["train"] for message in row["messages"] if message["role"] == "assistant"])
    return [
        {**turn.row, "train": turn.row["train"] and not next(left_out)}
        if turn.origin == "assistant"
        else turn.row
        for turn in turns
    ]


def _seen(message: dict[str, Any]) -> Any:
    """A message as any student sees it."""
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return message["role"], message["content"], message.get("reasoning_content") or "", calls
