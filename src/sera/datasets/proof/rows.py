"""One row from its line to its faults. Runs in the process that checks, or in its workers."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import msgspec

from sera.datasets.proof.case import Case, Setting
from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.proof.marks import marks_in_texts
from sera.datasets.proof.mask import altered
from sera.datasets.proof.proofs import BEFORE, PROOFS, Proof
from sera.datasets.rendering.render import Rendered, Row, render_row, render_rows
from sera.datasets.rendering.student import Student, StudentNames
from sera.errors import DatasetError
from sera.records import Record
from sera.untrusted import decode

_MOST = 20
"""Faults of one row that are told."""


class Checked(msgspec.Struct, frozen=True):
    """What is known of one row afterwards."""

    id: str
    tools: bytes
    """Digest of its tool definitions."""
    tokens: int
    trained: int
    failed: tuple[str, ...]
    """Names of the proofs that found something."""
    faults: tuple[Fault, ...]
    altered: str = ""
    """What the tokenizer makes of the first place that it changes."""


class Proving(Record, frozen=True, tag="proving"):
    """The job of processes that prove lines of `train.jsonl`."""

    names: StudentNames
    setting: Setting

    def start(self) -> Callable[[Sequence[bytes]], list[Checked]]:
        student = self.names.load()
        return lambda lines: check_lines(lines, student, self.setting)

    def read(self, answer: bytes) -> list[Checked]:
        return msgspec.msgpack.decode(answer, type=list[Checked])


def check_lines(lines: Sequence[bytes], student: Student, setting: Setting) -> list[Checked]:
    """Each line of `train.jsonl` by all proofs; lines are tokenised together."""
    read = [_read(line, student, setting) for line in lines]
    good = [row for row in read if not isinstance(row, Checked)]
    rendered = iter(_render(good, student))
    return [
        row if isinstance(row, Checked) else _prove(row, next(rendered), student, setting) for row in read
    ]


def _render(rows: Sequence[Row], student: Student) -> list[Rendered | str]:
    """Of a row that the template refuses, the reason."""
    try:
        return list(render_rows(rows, student))
    except DatasetError:
        return [_render_one(row, student) for row in rows]


def _render_one(row: Row, student: Student) -> Rendered | str:
    try:
        return render_row(row, student)
    except DatasetError as problem:
        return str(problem)


def _prove(row: Row, rendered: Rendered | str, student: Student, setting: Setting) -> Checked:
    if isinstance(rendered, str):
        return _refused(row, Fault(Kind.UNRENDERABLE, row["id"], None, rendered))
    try:
        return _proven(Case(row, rendered, student, setting))
    except RecursionError:
        return _refused({}, Fault(Kind.UNRENDERABLE, row["id"], None, "it is nested too deeply"))


def _proven(case: Case) -> Checked:
    row, rendered = case.row, case.rendered
    found = {proof.name: _found(proof, case) for proof in PROOFS}
    return Checked(
        id=row["id"],
        tools=_digest(row),
        tokens=len(rendered.ids),
        trained=sum(rendered.mask),
        failed=tuple(name for name, faults in found.items() if faults),
        faults=tuple(fault for faults in found.values() for fault in faults)[:_MOST],
        altered=altered(case),
    )


def _found(proof: Proof, case: Case) -> tuple[Fault, ...]:
    try:
        return tuple(proof.find(case))
    except DatasetError as problem:  # proofs render the conversation in other ways, too
        return (case.fault(Kind.UNRENDERABLE, str(problem)),)


def _read(line: bytes, student: Student, setting: Setting) -> Row | Checked:
    """The row, or the end of it where it is not fit to be rendered."""
    try:
        shape = decode(line, _Row)
        if isinstance(shape.tools, str) and shape.tools:
            decode(shape.tools, list[dict[str, Any]])
    except msgspec.DecodeError as problem:
        return _refused({}, Fault(Kind.MALFORMED_ROW, _id_of(line), None, f"the row is not one: {problem}"))
    row: dict[str, Any] = decode(line)
    if faults := tuple(_before(row, student, setting)):
        return _refused(row, *faults)
    return row


def _before(row: Row, student: Student, setting: Setting) -> Iterator[Fault]:
    if setting.runs is not None and row.get("run") not in setting.runs:
        yield Fault(
            Kind.FOREIGN_ROW, row["id"], None,
            f"the row is of the run {row.get('run')}, which is not among the dataset's sources",
        )  # fmt: skip
    yield from marks_in_texts(row, student)


def _refused(row: Row, *faults: Fault) -> Checked:
    names = (BEFORE, *(proof.name for proof in PROOFS))
    return Checked(row.get("id", faults[0].sample), _digest(row), 0, 0, names, faults[:_MOST])


def _digest(row: Row) -> bytes:
    tools = row.get("tools")
    if tools is None:
        prompt = str(row["messages"][0].get("content")) if row else ""
        _, found, definitions = prompt.rpartition("\n<tools>\n")
        tools = definitions if found else ""
    return hashlib.blake2b(str(tools).encode(), digest_size=8).digest()


def _id_of(line: bytes) -> str:
    """As near as can be said of a line that is not a row."""
    try:
        return str(decode(line, dict[str, Any]).get("id", ""))
    except msgspec.DecodeError:
        return ""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _Call(_Function):
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | None = None
    train: bool = True
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Row(msgspec.Struct):
    id: str
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    tools: str | list[dict[str, Any]] | None = None
    ratio: float = 1
