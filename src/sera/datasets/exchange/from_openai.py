"""Conversations in the chat-completions form, one JSON object a line.

    {"messages": […], "tools": […]}

This is OpenAI's fine-tuning form, that of many published sets, and that of our own rows in the format
`raw`. `tools` may be a list or its JSON text. The form has no end and no patch; where a line says more
(`instance_id` or `id`, `model_patch` or `patch`, `exit_status`, `stage`, `repository`, `commit`, `model`),
it is taken.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.ends import end_of
from sera.datasets.exchange.lines import json_lines
from sera.datasets.exchange.trajectory import Document, Json, Trajectory, as_message
from sera.formats.servers import Tools
from sera.records import Stage


class _Line(msgspec.Struct, frozen=True):
    messages: list[Json]
    tools: list[Json] | str | None = None
    instance_id: str = ""
    id: str = ""
    model_patch: str | None = None
    patch: str | None = None
    exit_status: str = ""
    stage: Stage | None = None
    repository: str = ""
    commit: str = ""
    model: str = ""
    teacher: str = ""


def read_openai(file: Path, name: str, _tools: Tools) -> Iterator[Document]:
    yield from json_lines(file, name, _Line, _trajectory)


def _trajectory(line: Any) -> Trajectory:
    return Trajectory(
        name=line.instance_id or line.id,
        messages=tuple(as_message(message) for message in line.messages),
        end=end_of(line.exit_status) if line.exit_status else None,
        patch=line.patch if line.model_patch is None else line.model_patch,
        stage=line.stage,
        tools=tools_of(line.tools),
        model=line.model or line.teacher,
        repository=line.repository,
        commit=line.commit,
    )


def tools_of(tools: list[Json] | str | None) -> list[Json] | None:
    """Tool definitions from a list or its JSON text."""
    if isinstance(tools, str):
        return msgspec.json.decode(tools, type=list[Json]) if tools else None
    return tools
