"""The rows that SERA's authors published, rows of SWE-smith, and rows in a text format of ours.

    {"messages": …, "instance_id": …, "rollout_patch": …, "target_patch": …, "func_name": …, "func_path": …,
     "problem_statement": …, "docker_image": …, "source": …}

`messages` is a list or, in their files, its JSON text. Its entries are those of a SWE-agent history, with
structured calls, or rendered turns with calls in the text, Hermes or XML. The tools may stand in the text of
the system prompt. `target_patch` is the patch of
the T1, so that the recall of a T2 is computed and not taken on trust; it is empty in a T1. A row says
nothing of its end, unless it has an `exit_status`: it was handed in if its last call is `submit`. Our own
rows name their columns otherwise (`id`, `function`, `path`, `repository`); those are read too.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sera.datasets.exchange.beside import Beside
from sera.datasets.exchange.definitions import defined_in, told_tools
from sera.datasets.exchange.from_swe_agent import history_message
from sera.datasets.exchange.lines import json_lines
from sera.datasets.exchange.text_turns import has_text_calls, read_turns
from sera.datasets.exchange.thoughts import plain_text
from sera.datasets.exchange.trajectory import Document, Json, Trajectory, json_document
from sera.formats.servers import Tools
from sera.records import End, Message, Stage

_COLUMNS = frozenset({"rollout_patch", "target_patch", "func_name", "func_path", "docker_image"})


class _Row(Beside, frozen=True, kw_only=True):
    messages: list[Json] | str
    rollout_patch: str | None = None
    target_patch: str | None = None
    func_name: str | None = None
    function: str | None = None
    func_path: str | None = None
    path: str | None = None
    problem_statement: str | None = None
    docker_image: str | None = None
    source: str | None = None
    tools: list[Json] | str | None = None


def read_sera(file: Path, name: str, tools: Tools) -> Iterator[Document]:
    yield from json_lines(file, name, _Row, partial(_trajectory, tools))


def looks_sera(found: Any) -> bool:
    """Whether a line is of this format: by a column that no other has, or by calls in its text."""
    messages = found.get("messages") if isinstance(found, dict) else None
    if isinstance(messages, str) or (isinstance(messages, list) and _COLUMNS & found.keys()):
        return True
    turns = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    return has_text_calls(turns)


def _trajectory(known: Tools, row: Any) -> Trajectory:
    turns = (
        json_document(row.messages.encode(), list[Json]) if isinstance(row.messages, str) else row.messages
    )
    tools, lost = told_tools(row.tools), Counter[str]()
    if has_text_calls(turns):
        in_prompt, turns = _without_tools(turns)
        tools = tools or in_prompt
        messages = read_turns(turns, known or tools or (), lost)
    else:
        messages = [history_message(turn, lost) for turn in turns]
    told = row.told()
    handed_in = End.SUBMITTED if _handed_in(messages) else None
    told |= {
        "end": told["end"] or handed_in,
        "patch": told["patch"] if row.rollout_patch is None else row.rollout_patch,
        "stage": row.stage or _stage(row),
        "repository": row.repository or row.docker_image or "",
    }
    return Trajectory(
        messages=tuple(messages),
        target=row.target_patch or None,
        tools=tools,
        issue=row.problem_statement or "",
        function=row.func_name or row.function or "",
        path=row.func_path or row.path or "",
        lost=lost,
        **told,
    )


def _without_tools(turns: list[Json]) -> tuple[list[Json] | None, list[Json]]:
    """(the tools that the system prompt defines, the turns without them)."""
    if not turns or turns[0].get("role") != "system":
        return None, turns
    tools, rest = defined_in(plain_text(turns[0].get("content")))
    return tools, [{**turns[0], "content": rest}, *turns[1:]] if tools else turns


def _handed_in(messages: list[Message]) -> bool:
    calls = [call.name for message in messages for call in message.tool_calls]
    return bool(calls) and calls[-1] == "submit"


def _stage(row: _Row) -> Stage | None:
    """By the set it comes from, else by whether it has a T1 to be compared with."""
    for stage in Stage:
        if (row.source or "").lower().endswith(f"-{stage}"):
            return stage
    if row.target_patch is None:
        return None
    return Stage.T2 if row.target_patch else Stage.T1
