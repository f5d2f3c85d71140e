"""Rendered turns as messages again: calls out of `<tool_call>`, answers out of `<tool_response>`.

Agents of OpenHands and of SWE-smith write one call at the end of a turn as a bare `<function=…>`, without
tags around it; all of the user's turn that follows is its answer, with the agent's own words around it.

The way back from the text formats. Turns are read as a server reads them (`sera.formats.servers`), so
white space around text and reasoning is dropped and arguments are spelt anew, as everywhere. A call that
does not parse stays what it is, text, and so does all of a turn that the row says is not to be trained.
Calls get running ids, since text has none.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from sera.datasets.exchange.spans import spans, without
from sera.datasets.exchange.thoughts import plain_text
from sera.datasets.exchange.trajectory import Json, as_message
from sera.formats.servers import CLOSE, HERMES, OPEN, XML, Tools, read_turn
from sera.records import Message, ToolCall

_XML_CALL = re.compile(rf"{OPEN}\s*<function=")
_OPENING, _CLOSING = "<tool_response>\n", "\n</tool_response>"
_BARE = "<function="


def has_text_calls(turns: Sequence[Json]) -> bool:
    """Whether calls stand in the text of these turns."""
    return any(
        turn.get("role") == "assistant"
        and not turn.get("tool_calls")
        and (OPEN in (text := plain_text(turn.get("content"))) or _bare(text) >= 0)
        for turn in turns
    )


def read_turns(turns: Sequence[Json], tools: Tools, lost: Counter[str]) -> list[Message]:
    """Messages from rendered turns; an answer turn becomes one message for each answer in it. `tools`
    tell which values of an XML call are no text; where they are unknown, all are."""
    messages: list[Message] = []
    made, bare = 0, False
    for turn in turns:
        message = as_message(turn, lost)
        if message.role == "assistant":
            bare = False
            if not message.tool_calls and turn.get("train", True):
                message, bare = _spoken(message, tools, made)
                made += len(message.tool_calls)
        calls = messages[-1].tool_calls if messages else ()
        if message.role == "tool" and not message.tool_call_id and not _is_called(messages):
            messages.append(msgspec.structs.replace(message, role="user"))
        elif not calls or message.role not in ("user", "tool"):
            messages.append(message)
        elif bare:
            messages.append(Message(role="tool", content=message.content, tool_call_id=calls[0].id))
        else:
            messages += _answers(message, calls)
    return messages


def _is_called(messages: Sequence[Message]) -> bool:
    """Whether a tool's answer can be one to a call: one that stayed text is answered in text."""
    last = next((message for message in reversed(messages) if message.role != "tool"), None)
    return bool(last and last.tool_calls)


def _bare(text: str) -> int:
    """Where the call begins that ends a text and has no tags around it; -1 if there is none."""
    start = 0 if text.startswith(_BARE) else text.find(f"\n{_BARE}") + 1
    is_call = text.startswith(_BARE, start) and text.rstrip().endswith("</function>")
    return start if is_call and OPEN not in text else -1


def _spoken(message: Message, tools: Tools, made: int) -> tuple[Message, bool]:
    """(an assistant's turn with the calls in its text, whether they stood there without tags); `made` calls
    came before it."""
    text, start = message.content, _bare(message.content)
    if start >= 0:
        text = f"{text[:start]}{OPEN}\n{text[start:].rstrip()}\n{CLOSE}"
    if OPEN not in text:
        return message, False
    dialect = XML if _XML_CALL.search(text) else HERMES
    read = read_turn(text, dialect["vLLM"], tools)
    if start >= 0 and len(read.tool_calls) != 1:
        return message, False
    calls = [msgspec.structs.replace(call, id=f"call_{made + n}") for n, call in enumerate(read.tool_calls)]
    thought = "\n\n".join(filter(None, (message.reasoning.strip(), read.reasoning)))
    return msgspec.structs.replace(read, reasoning=thought, tool_calls=tuple(calls)), start >= 0


def _answers(message: Message, calls: Sequence[ToolCall]) -> Iterator[Message]:
    """One message for each answer, if the turn is nothing but answers to these calls; what stands beside a
    single one is said after it."""
    text = message.content
    if len(calls) == 1 and text.startswith(_OPENING) and text.rstrip("\n").endswith(_CLOSING):
        texts, beside = [text.rstrip("\n")[len(_OPENING) : -len(_CLOSING)]], ""
    else:
        found = list(spans(text, _OPENING, _CLOSING))
        texts, beside = [one.inside for one in found], without(text, found).strip()
    if len(texts) != len(calls) or (len(calls) > 1 and beside):
        yield message
        return
    for call, answer in zip(calls, texts, strict=True):
        yield Message(role="tool", content=answer, tool_call_id=call.id)
    if beside:
        yield Message(role="user", content=beside)
