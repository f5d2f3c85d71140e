"""The gate at the end of a build: no row that cannot be proven is written, unless somebody insists.

A fault of one row leaves that row out. A fault of the whole stops the build: of the folder, of the student,
or one that a plain conversation has too, so that the template or the tokenizer is to blame and not the row.
The plain one thinks in every turn, or in none if the row has a turn without thought.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sera.datasets.lines import json_line
from sera.datasets.manifest import Manifest, rows_of
from sera.datasets.proof.case import Setting
from sera.datasets.proof.check import Report, check_dataset
from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.proof.rows import check_lines
from sera.datasets.rendering.student import Student, StudentNames
from sera.errors import DatasetError
from sera.formats import find_format
from sera.records import Message, ToolCall
from sera.untrusted import decode

FORCE = "--force writes it all the same, with its faults in the manifest"


class Verdict(NamedTuple):
    """What the proofs say of a dataset."""

    manifest: Manifest
    """To be written if no row is to be left out."""
    left_out: dict[int, Fault]
    """Number of a row, from 0 → the first fault that it has."""


def prove(folder: Path, manifest: Manifest, names: StudentNames, workers: int, force: bool) -> Verdict:
    """Check a dataset that lies in `folder` with its manifest.

    Raises `DatasetError` that tells the first fault of the whole; with `force` the manifest counts all faults
    instead, and no row is left out.
    """
    left_out: dict[int, Fault] = {}
    report = check_dataset(folder, names, workers, files=False, tell=left_out.__setitem__)
    manifest = msgspec.structs.replace(manifest, altered=report.altered, alteration=report.alteration)
    if report.ok:
        return Verdict(manifest, {})
    if force:
        return Verdict(msgspec.structs.replace(manifest, faults=report.counts), {})
    student, style = names.load(), manifest.settings["format"]
    if fault := next(_of_the_whole(folder, report, left_out, student, style), None):
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in report.counts.items())
        raise DatasetError(
            f"the dataset does not pass its proofs ({kinds}) and is not written; {FORCE}. First, "
            f"{told(fault)}"
        )
    return Verdict(manifest, left_out)


def _of_the_whole(
    folder: Path, report: Report, left_out: dict[int, Fault], student: Student, style: str
) -> Iterator[Fault]:
    yield from (fault for fault in report.faults if not fault.sample)
    thinks, not_all = _plain_faults(student, style, "I look."), _plain_faults(student, style, "")
    with rows_of(folder).open("rb") as lines:
        for number, line in enumerate(lines):
            fault = left_out.get(number)
            if fault and fault.kind in (thinks if _thinks(line) else thinks | not_all):
                yield fault


def _thinks(line: bytes) -> bool:
    """Whether a row has reasoning in every turn of the assistant."""
    said = [message for message in decode(line)["messages"] if message["role"] == "assistant"]
    return all(turn.get("reasoning_content") or turn["content"].startswith("<think>") for turn in said)


def _plain_faults(student: Student, style: str, reasoning: str) -> set[Kind]:
    """Kinds of faults that a conversation without anything odd has."""
    (checked,) = check_lines([json_line(_plain_row(style, reasoning))], student, Setting(format=style))
    return {fault.kind for fault in checked.faults}


def _plain_row(style: str, reasoning: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    function = {"name": "look", "description": "Shows a file.", "parameters": parameters}
    tools = [{"type": "function", "function": function}]
    call = ToolCall(id="call00001", name="look", arguments='{"path": "shop.py"}')
    messages = [
        Message(role="system", content="You mend programs."),
        Message(role="user", content="Mend the shop."),
        Message(role="assistant", content="I begin.", reasoning=reasoning, tool_calls=(call,)),
        Message(role="tool", content="count = 1", tool_call_id=call.id),
        Message(role="assistant", content="It is done.", reasoning=reasoning),
    ]
    format_ = find_format(style)
    column = {"tools": msgspec.json.encode(tools).decode()} if format_.tools_column else {}
    return {"id": "plain", "messages": [turn.row for turn in format_.render(messages, tools)], **column}


def told(fault: Fault) -> str:
    """A fault in one sentence, with its tokens: those in the loss in brackets, the place behind an arrow."""
    turn = f", message {fault.turn}" if fault.turn is not None else ""
    place = f"sample {fault.sample}{turn}: " if fault.sample else ""
    tokens = "".join(
        f"{' → ' if token.here else ''}{f'[{token.text}]' if token.loss else token.text}"
        for token in fault.tokens
    )
    shown = f" Tokens: {tokens!r}." if tokens else ""
    return f"{fault.kind}: {place}{fault.message}.{shown}"
