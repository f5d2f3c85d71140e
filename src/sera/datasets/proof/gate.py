"""The gate at the end of a build: no row that cannot be proven is written, unless somebody insists.

A fault of one row leaves that row out. A fault of the whole stops the build: of the folder, of the student,
or one that a plain conversation has too, so that the template or the tokenizer is to blame and not the row.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sera.datasets.lines import json_line
from sera.datasets.manifest import Manifest
from sera.datasets.proof.case import Setting
from sera.datasets.proof.check import check_dataset
from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.proof.rows import check_lines
from sera.datasets.rendering.student import Student, StudentNames
from sera.errors import DatasetError
from sera.formats import find_format
from sera.records import Message, ToolCall

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
    plain = set(_plain_faults(names.load(), manifest.settings["format"]))
    faults = [*(fault for fault in report.faults if not fault.sample), *left_out.values()]
    for fault in faults:
        if not fault.sample or fault.kind in plain:
            kinds = ", ".join(f"{number:,} {kind}" for kind, number in report.counts.items())
            raise DatasetError(
                f"the dataset does not pass its proofs ({kinds}) and is not written; {FORCE}. "
                f"First, {told(fault)}"
            )
    return Verdict(manifest, left_out)


def _plain_faults(student: Student, style: str) -> Iterator[Kind]:
    """Kinds of faults that a conversation without anything odd has, with reasoning and without."""
    rows = [json_line(_plain_row(style, reasoning)) for reasoning in ("I look first.", "")]
    for checked in check_lines(rows, student, Setting(format=style)):
        yield from (fault.kind for fault in checked.faults)


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
