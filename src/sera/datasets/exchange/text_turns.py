"""Rendered turns as messages again: calls out of `<tool_call>`, answers out of `<tool_response>`.

The way back from the text formats. Turns are read as a server reads them (`sera.formats.servers`), so
white space around text and reasoning is dropped and arguments are spelt anew, as everywhere. A call that
does not parse stays what it is, text, and so does all of a turn that the row says is not to be trained.
Calls get running ids, since text has none.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from sera.datasets.exchange.trajectory import Json, as_message
from sera.formats.servers import HERMES, OPEN, XML, Tools, read_turn
from sera.records import Message, ToolCall

_XML_CALL = re.compile(rf"{OPEN}\s*<function=")
_OPENING, _CLOSING = "<tool_response>\n", "\n</tool_response>"
_ANSWER = re.compile(r"<tool_response>\n(.*?)\n</tool_response>(?:\n|\Z)", re.DOTALL)


def has_text_calls(turns: Sequence[Json]) -> bool:
    """Whether calls stand in the text of these turns."""
    return any(
        turn.get("role") == "assistant" and not turn.get("tool_calls") and OPEN in str(turn.get("content"))
        for turn in turns
    )


def read_turns(turns: Sequence[Json], tools: Tools) -> list[Message]:
    """Messages from rendered turns; an answer turn becomes one message for each answer in it. `tools`
    tell which values of an XML call are no text; where they are unknown, all are."""
    messages: list[Message] = []
    made = 0
    for turn in turns:
        message = as_message(turn)
        if message.role == "assistant" and OPEN in message.content and turn.get("train", True):
            message = _spoken(str(turn["content"]), tools, made)
            made += len(message.tool_calls)
        if message.role == "user" and messages and messages[-1].tool_calls:
            messages += _answers(message, messages[-1].tool_calls)
        else:
            messages.append(message)
    return messages


def _spoken(text: str, tools: Tools, made: int) -> Message:
    """An assistant's turn; `made` calls came before it."""
    dialect = XML if _XML_CALL.search(text) else HERMES
    message = read_turn(text, dialect["vLLM"], tools)
    calls = [
        msgspec.structs.replace(call, id=f"call_{made + n}") for n, call in enumerate(message.tool_calls)
    ]
    return msgspec.structs.replace(message, tool_calls=tuple(calls))


def _answers(message: Message, calls: Sequence[ToolCall]) -> Iterator[Message]:
    """One message for each answer, if the turn is nothing but answers to these calls."""
    text = message.content
    if len(calls) == 1 and text.startswith(_OPENING) and text.endswith(_CLOSING):
        texts = [text[len(_OPENING) : -len(_CLOSING)]]
    else:
        texts = _ANSWER.findall(text)
    if len(texts) != len(calls) or (len(calls) > 1 and _ANSWER.sub("", text)):
        yield message
        return
    for call, answer in zip(calls, texts, strict=True):
        yield Message(role="tool", content=answer, tool_call_id=call.id)
