"""Conversations in the form of Anthropic's Messages API, one JSON object a line.

    {"system": …, "messages": […], "tools": […], "model": …}

The body of a request with what was answered last, as proxies and logs keep them; where a line holds `request`
and `response`, the two are put together. What a line says beside it (`id`, `model_patch`, `exit_status` and
so on) is that of `openai`. The form has no end and no patch.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.beside import Beside
from sera.datasets.exchange.blocks import Wire, prompt_of, read_message
from sera.datasets.exchange.definitions import told_tools
from sera.datasets.exchange.lines import json_lines
from sera.datasets.exchange.trajectory import Document, Json, Trajectory
from sera.formats.servers import Tools
from sera.records import Message

_BLOCKS = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking"})


class _Body(msgspec.Struct, frozen=True):
    messages: list[Wire]
    system: str | list[Any] | None = None
    tools: list[Json] | str | None = None
    model: str | None = None


class _Line(Beside, frozen=True, kw_only=True):
    messages: list[Wire] | None = None
    system: str | list[Any] | None = None
    tools: list[Json] | str | None = None
    request: _Body | None = None
    response: Wire | None = None


def read_anthropic(file: Path, name: str, _tools: Tools) -> Iterator[Document]:
    yield from json_lines(file, name, _Line, _trajectory)


def looks_anthropic(found: Any) -> bool:
    """Whether a line is of this format: by a block that no other has, or by where its prompt stands."""
    body = found.get("request", found) if isinstance(found, dict) else None
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(messages, list):
        return False
    tools = body.get("tools")
    if isinstance(tools, list) and any(isinstance(tool, dict) and "input_schema" in tool for tool in tools):
        return True
    contents = [message.get("content") for message in messages if isinstance(message, dict)]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    has_blocks = any(isinstance(block, dict) and block.get("type") in _BLOCKS for block in blocks)
    calls = any(isinstance(message, dict) and message.get("tool_calls") for message in messages)
    return (has_blocks and not calls) or "system" in body


def _trajectory(line: Any) -> Trajectory:
    body = line.request or line
    if body.messages is None:
        raise msgspec.ValidationError("it has no `messages`")
    said = [*body.messages, *([line.response] if line.response else [])]
    lost: Counter[str] = Counter()
    prompt = [Message(role="system", content=prompt_of(body.system))] if body.system else []
    return Trajectory(
        messages=(*prompt, *(message for wire in said for message in read_message(wire, lost))),
        tools=told_tools(body.tools),
        lost=lost,
        **line.told() | {"model": body.model or ""},
    )
