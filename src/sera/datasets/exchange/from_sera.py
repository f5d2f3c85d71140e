"""The rows that SERA's authors published, and rows in a text format of ours.

    {"messages": …, "instance_id": …, "rollout_patch": …, "target_patch": …, "func_name": …, "func_path": …,
     "problem_statement": …, "docker_image": …, "source": …}

`messages` is a list or, in their files, its JSON text. Its entries are those of a SWE-agent history, with
structured calls, or rendered turns with calls in the text, Hermes or XML. `target_patch` is the patch of
the T1, so that the recall of a T2 is computed and not taken on trust; it is empty in a T1. A row says
nothing of its end: it was handed in if its last call is `submit`. Our own rows name their columns
otherwise (`id`, `function`, `path`, `repository`); those are read too.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.from_openai import tools_of
from sera.datasets.exchange.from_swe_agent import history_message
from sera.datasets.exchange.lines import json_lines
from sera.datasets.exchange.text_turns import has_text_calls, read_turns
from sera.datasets.exchange.trajectory import Document, Json, Trajectory
from sera.formats.servers import Tools
from sera.records import End, Message, Stage


class _Row(msgspec.Struct, frozen=True):
    messages: list[Json] | str
    instance_id: str = ""
    id: str = ""
    rollout_patch: str | None = None
    model_patch: str | None = None
    target_patch: str | None = None
    func_name: str | None = None
    function: str = ""
    func_path: str | None = None
    path: str = ""
    problem_statement: str | None = None
    docker_image: str | None = None
    repository: str = ""
    commit: str = ""
    source: str = ""
    stage: Stage | None = None
    tools: list[Json] | str | None = None
    teacher: str = ""


def read_sera(file: Path, name: str, tools: Tools) -> Iterator[Document]:
    yield from json_lines(file, name, _Row, partial(_trajectory, tools))


def _trajectory(tools: Tools, row: Any) -> Trajectory:
    turns = (
        msgspec.json.decode(row.messages, type=list[Json]) if isinstance(row.messages, str) else row.messages
    )
    messages = (
        read_turns(turns, tools) if has_text_calls(turns) else [history_message(turn) for turn in turns]
    )
    return Trajectory(
        name=row.instance_id or row.id,
        messages=tuple(messages),
        end=End.SUBMITTED if _handed_in(messages) else None,
        patch=row.model_patch if row.rollout_patch is None else row.rollout_patch,
        target=row.target_patch or None,
        stage=row.stage or _stage(row),
        tools=tools_of(row.tools),
        model=row.teacher,
        issue=row.problem_statement or "",
        function=row.func_name or row.function,
        path=row.func_path or row.path,
        repository=row.repository or row.docker_image or "",
        commit=row.commit,
    )


def _handed_in(messages: list[Message]) -> bool:
    calls = [call.name for message in messages for call in message.tool_calls]
    return bool(calls) and calls[-1] == "submit"


def _stage(row: _Row) -> Stage | None:
    """By the set it comes from, else by whether it has a T1 to be compared with."""
    for stage in Stage:
        if row.source.lower().endswith(f"-{stage}"):
            return stage
    if row.target_patch is None:
        return None
    return Stage.T2 if row.target_patch else Stage.T1
