"""Messages of Anthropic's form: a content is a text, or blocks.

    assistant   text, thinking, redacted_thinking, tool_use
    user        text, tool_result, image, document

An answer's blocks become one message. Results become messages of the tools, in the order of the blocks, and
what the user says beside them follows. An image becomes the text `[image]` in its place, since whole sessions
would be lost for one screenshot; it is counted, and so are blocks that a model of the protocol's server made
by itself, such as its searches.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from sera.datasets.exchange.thoughts import PARTS, parted, text_of, together
from sera.datasets.exchange.trajectory import Json, Reason, Refusal, lose
from sera.records import Message, ToolCall

_UNPARSED = "__unparsedToolInput"
"""How Claude Code keeps the arguments of a call that were no JSON."""


class Wire(msgspec.Struct, frozen=True):
    """The shape that a message must have."""

    role: str
    content: str | list[Any] | None = None
    tool_calls: list[Any] | None = None
    """Of another protocol."""


def read_message(wire: Wire, lost: Counter[str]) -> list[Message]:
    """The messages that one of Anthropic's stands for. Raises `Refusal` if it has another role."""
    if wire.tool_calls:
        raise Refusal(Reason.WRONG_SHAPE, "a message has `tool_calls`, which are of OpenAI's form")
    blocks: list[Json] = list(_blocks(wire.content))
    if wire.role == "assistant":
        return [_answer(blocks, lost)]
    if wire.role == "user":
        return list(_asked(blocks, lost))
    if wire.role == "system":
        return [Message(role="system", content=_shown(blocks, lost))]
    raise Refusal(Reason.UNKNOWN_ROLE, f"a message has the role {wire.role!r}")


def prompt_of(system: object) -> str:
    """A system prompt, which is a text or blocks."""
    return _shown(list(_blocks(system)), Counter())


def _blocks(content: object) -> Iterator[Json]:
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    for block in content if isinstance(content, list) else ():
        if isinstance(block, str):
            yield {"type": "text", "text": block}
        elif isinstance(block, dict):
            yield block
        else:
            raise Refusal(Reason.WRONG_SHAPE, f"a block of a content is {type(block).__name__}")


def _answer(blocks: Iterable[Json], lost: Counter[str]) -> Message:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for block in blocks:
        kind = str(block.get("type", ""))
        if kind == "text":
            texts.append(str(block.get("text") or ""))
        elif kind in PARTS:
            thoughts.append(text_of(block, lost))
        elif kind == "tool_use":
            calls.append(_call(block, len(calls)))
        else:
            lose(lost, [f"block {kind}"])
    thought, spoken = parted("\n\n".join(filter(str.strip, texts)))
    said = "\n\n".join(filter(str.strip, thoughts))
    return Message(
        role="assistant", content=spoken, reasoning=together([said, thought]), tool_calls=tuple(calls)
    )


def _call(block: Json, number: int) -> ToolCall:
    name, given = block.get("name"), block.get("input")
    if not isinstance(name, str):
        raise Refusal(Reason.WRONG_SHAPE, "a tool_use has no name")
    raw = given.get(_UNPARSED) if isinstance(given, dict) else None
    if isinstance(raw, dict):
        raw = raw.get("raw")
    if isinstance(raw, str) or not isinstance(given, dict | None):
        text = raw if isinstance(raw, str) else json.dumps(given, ensure_ascii=False)
        return ToolCall(id=_identity(block, number), name=name, arguments=text, malformed=True)
    return ToolCall(
        id=_identity(block, number), name=name, arguments=json.dumps(given or {}, ensure_ascii=False)
    )


def _identity(block: Json, number: int) -> str:
    return str(block.get("id") or f"call_{number}")


def _asked(blocks: Iterable[Json], lost: Counter[str]) -> Iterator[Message]:
    said = []
    answered = False
    for block in blocks:
        if block.get("type") != "tool_result":
            said.append(block)
            continue
        answered = True
        if block.get("is_error"):
            lose(lost, ["is_error"])
        content = _shown(list(_blocks(block.get("content"))), lost)
        yield Message(role="tool", content=content, tool_call_id=str(block.get("tool_use_id") or ""))
    text = _shown(said, lost)
    if text.strip() or not answered:
        yield Message(role="user", content=text)


def _shown(blocks: Iterable[Json], lost: Counter[str]) -> str:
    """Blocks as one text, what is no text by its name in brackets."""
    return "\n".join(_text(block, lost) for block in blocks)


def _text(block: Json, lost: Counter[str]) -> str:
    kind = str(block.get("type", ""))
    text = block.get("text")
    if isinstance(text, str) and kind in ("text", "input_text", ""):
        return text
    lose(lost, [kind or "block without a type"])
    named = block.get("tool_name")
    return f"[{kind} {named}]" if isinstance(named, str) else f"[{kind[:40]}]"
