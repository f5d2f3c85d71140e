"""Conversations in the chat-completions form, one JSON object a line.

    {"messages": […], "tools": […]}

This is OpenAI's fine-tuning form, that of many published sets, and that of our own rows in the format
`raw`. `tools` may be a list or its JSON text. The form has no end and no patch; where a line says more
(`instance_id` or `id`, `model_patch` or `patch`, `exit_status`, `stage`, `repository`, `commit`, `model`),
it is taken. A conversation may also be in the form of the Responses API, as `messages`, `input` or `output`:
items of the types `message`, `reasoning`, `function_call` and `function_call_output`.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sera.datasets.exchange.beside import Beside
from sera.datasets.exchange.definitions import told_tools
from sera.datasets.exchange.lines import json_lines
from sera.datasets.exchange.responses import ITEMS, chat_of
from sera.datasets.exchange.trajectory import Document, Json, Reason, Refusal, Trajectory, as_message
from sera.formats.servers import Tools


class _Line(Beside, frozen=True, kw_only=True):
    messages: list[Json] | None = None
    input: list[Json] | None = None
    output: list[Json] | None = None
    """Of the Responses API: what was sent, and what came back."""
    instructions: str | None = None
    tools: list[Json] | str | None = None
    functions: list[Json] | str | None = None
    """The older name."""


def read_openai(file: Path, name: str, _tools: Tools) -> Iterator[Document]:
    yield from json_lines(file, name, _Line, _trajectory)


def looks_openai(found: Any) -> bool:
    """Whether a line is of this format; others have `messages` too, and are asked first."""
    return isinstance(found, dict) and any(
        isinstance(found.get(name), list) for name in ("messages", "input", "output")
    )


def _trajectory(line: Any) -> Trajectory:
    lost: Counter[str] = Counter()
    return Trajectory(
        messages=tuple(as_message(message, lost) for message in _chat(line, lost)),
        tools=told_tools(line.tools or line.functions),
        lost=lost,
        **line.told(),
    )


def _chat(line: _Line, lost: Counter[str]) -> list[Json]:
    """The messages of a line, whichever of the two forms they are in."""
    if line.messages is None and line.input is None and line.output is None:
        raise Refusal(Reason.WRONG_SHAPE, "it has no `messages`")
    said = [*(line.messages or ()), *(line.input or ()), *(line.output or ())]
    if not any(item.get("type") in ITEMS and "role" not in item for item in said):
        return said
    first = [{"role": "system", "content": line.instructions}] if line.instructions else []
    return [*first, *chat_of(said, lost)]
