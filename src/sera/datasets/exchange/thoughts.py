"""Reasoning, under the names that servers, routers and agents have for it.

    reasoning_content, reasoning, thinking      a text (vLLM, OpenRouter, ollama, gpt-oss)
    reasoning_text, thoughts, thought           the same of others; a `thought` that stands in the text
                                                is SWE-agent's reading of it, and none
    thinking_blocks                             Anthropic's blocks, as LiteLLM passes them on
    reasoning_details                           OpenRouter's: text, summary or encrypted
    parts of the content                        `thinking` and `redacted_thinking`, Anthropic's, and
    `reasoning` <think> in the content                      closed or only closed, at the beginning of a line

Agents keep some of them apart from the message, in `provider_specific_fields`, in `extra` or in the raw
response under it: those are read where the message itself has none. Names that say the same thing count
once. What is encrypted or redacted cannot be read, and is counted.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sera.datasets.exchange.spans import spans, without
from sera.formats.messages import split_reasoning
from sera.formats.servers import OPEN

Json = dict[str, Any]
ENCRYPTED = "encrypted reasoning"
"""What is counted where a thought is there and cannot be read."""
NAMES = (
    *("reasoning_content", "reasoning", "thinking", "thinking_blocks", "reasoning_details"),
    *("reasoning_text", "thoughts", "thought"),
)
"""Fields of a message that hold reasoning."""
PARTS = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content", "reasoning_text"})
"""Types of parts of a content that hold reasoning."""
_SAID_IN = ("thinking", "text", "content", "reasoning", "reasoning_content")
_HIDDEN_IN = ("data", "encrypted_content", "signature")
_CALLS = (OPEN, "<function=")
_BY_CHANCE = 16
"""Characters, white space left out."""


def reasoning_of(wire: Json, lost: Counter[str]) -> str:
    """What an assistant's message says it thought, in any field of it; not what stands in its text."""
    own = list(_fields(wire, lost))
    if not any(own):
        own = [text for place in _elsewhere(wire) for text in _fields(place, lost)]
    parts = wire.get("content")
    if isinstance(parts, list):
        own.append(text_of([part for part in parts if is_thought(part)], lost))
    return together(own)


def text_of(value: object, lost: Counter[str]) -> str:
    """The text of one thought: itself, a block, or a list of blocks."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n\n".join(filter(None, (text_of(one, lost) for one in value)))
    if not isinstance(value, dict):
        return ""
    said = next(filter(str.strip, (text_of(value.get(name), lost) for name in _SAID_IN)), "")
    if not said and any(value.get(name) for name in _HIDDEN_IN):
        lost[ENCRYPTED] += 1
    return said or text_of(value.get("summary"), lost)


def parted(text: str) -> tuple[str, str]:
    """(thoughts, rest) of a text: every `<think>` block that begins a line, before any call, is taken out."""
    first, rest = split_reasoning(text)
    call = min((place for mark in _CALLS if (place := rest.find(mark)) >= 0), default=len(rest))
    found = spans(rest[:call], "<think>", "</think>")
    later = [one for one in found if one.start == 0 or rest[one.start - 1] == "\n"]
    if not later:
        return first, rest
    thoughts = filter(None, (first, *(one.inside.strip("\n") for one in later)))
    return "\n\n".join(thoughts), without(rest, later).strip()


def together(texts: list[str]) -> str:
    """What several fields say, one below the other and each once: a text that another holds is left out."""
    kept: list[str] = []
    for text in sorted(filter(str.strip, texts), key=lambda text: -len(text)):
        if not any(_same(text, other) for other in kept):
            kept.append(text)
    return "\n\n".join(text for text in dict.fromkeys(texts) if text in kept)


def _same(text: str, longer: str) -> bool:
    """Whether a text says nothing beside a longer one; a short one may stand in it by chance."""
    short, whole = "".join(text.split()), "".join(longer.split())
    return short == whole or (len(short) >= _BY_CHANCE and short in whole)


def is_thought(part: object) -> bool:
    """Whether a part of a content is reasoning."""
    return isinstance(part, dict) and str(part.get("type", "")) in PARTS


def _fields(wire: Json, lost: Counter[str]) -> Iterator[str]:
    for name in NAMES:
        said = text_of(wire.get(name), lost)
        yield "" if name == "thought" and said.strip() in plain_text(wire.get("content")) else said


def _elsewhere(wire: Json) -> Iterator[Json]:
    """Where agents and client libraries keep what a message of theirs has no field for."""
    if isinstance(fields := wire.get("provider_specific_fields"), dict):
        yield fields
    extra = wire.get("extra")
    if isinstance(extra, dict):
        yield extra
    response = extra.get("response") if isinstance(extra, dict) else None
    choices = response.get("choices") if isinstance(response, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if isinstance(message, dict):
        yield message


def plain_text(content: object) -> str:
    """The text of a content, or of the parts of one, whatever else is in it."""
    if isinstance(content, list):
        return "".join(text for part in content if isinstance(text := _part(part), str))
    return content if isinstance(content, str) else ""


def _part(part: object) -> object:
    return part.get("text") if isinstance(part, dict) else None
