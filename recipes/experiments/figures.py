"""What became of every arm, from what lies in its folder: a line of JSON each, and a table for each question.

An arm that has failed, or was not come to, is in both with the reason. Every arm is compared with the
untrained student and with the first arm of a question: their losses in pairs over the measured conversations,
with the bootstrap interval, and their resolve rates as `sera evaluate` does it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import fmean

import msgspec
from plan import Cell, Question, cells
from work import Work

from sera.cli.common import EXIT_INTERRUPTED
from sera.evaluation.behaviour import Behaviour
from sera.evaluation.folder import read_evaluation
from sera.evaluation.results import Results, Rows, outcomes_by_task
from sera.evaluation.statistics import Comparison, Interval, Rate, compare
from sera.formats.thinking import Think
from sera.records import Record
from sera.runs.folder import replace
from sera.specialize.stage import RECORDS, Done, read_done
from sera.training.finish import read_finished
from sera.training.loss import Loss, read_loss
from sera.visible import markdown

_LEGEND = """\
Differences of losses: the mean over the conversations and, in brackets, 95 % of the bootstrap draws; a star
where 0 is not among them. What another order of the rows would have changed is not in them. Resolved: the
mean ± deviation between seeds, and its 95 % interval; of tasks × seeds.
"""
_DRAWS = 10_000


class Difference(Record, frozen=True):
    """A loss less another one, over the same conversations."""

    loss: float
    interval: Interval

    def __str__(self) -> str:
        beyond = "" if self.interval.low <= 0 <= self.interval.high else " *"
        return f"{self.loss:+.3f} ({self.interval.low:+.3f} … {self.interval.high:+.3f}){beyond}"


class Row(Record, frozen=True, kw_only=True):
    """An arm of one student on one target."""

    student: str
    target: str
    arm: str
    state: str
    """`done`, `not begun`, `not finished`, or `failed: ` with the reason."""
    rows: int | None = None
    recall: float | None = None
    """Mean r of the rows."""
    tokens: int | None = None
    """Of an epoch."""
    steps: int | None = None
    loss: dict[str, float] = msgspec.field(default_factory=dict)
    """Rendering of the measured conversations → loss."""
    rate: Rate | None = None
    comparison: Comparison | None = None
    """Of resolve rates, with the untrained student."""
    against: dict[str, Comparison] = msgspec.field(default_factory=dict)
    """First arm of a question → the same with that arm."""
    behaviour: Behaviour | None = None
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Stage → seconds it has worked."""
    dollars: float | None = None
    """Forecast of the training; an evaluation on this machine is not counted."""


def write_results(work: Work) -> None:
    """`results.jsonl` and `results.md`, of everything there is by now."""
    rows = {cell: _row(work, cell) for cell in cells(work.plan)}
    replace(work.out / "results.jsonl", b"".join(msgspec.json.encode(row) + b"\n" for row in rows.values()))
    replace(work.out / "results.md", _page(work, rows).encode())


def _row(work: Work, cell: Cell) -> Row:
    place = work.place(cell)
    every = {name: read_done(place, name) for name in _stages(work, cell)}
    row = Row(
        student=cell.student, target=cell.target, arm=cell.arm, state=_state(place, every),
        loss={think: loss.loss for think in Think if (loss := _loss(work, cell, think))},
        seconds={name: done.seconds for name, done in every.items() if done},
    )  # fmt: skip
    if (data := place / "dataset" / "train.jsonl").exists():
        lines = [msgspec.json.decode(line, type=_Sample) for line in data.open("rb")]
        row = msgspec.structs.replace(
            row,
            rows=len(lines),
            recall=fmean(one.recall for one in lines),
            tokens=sum(one.tokens for one in lines),
        )
    if (checkpoint := place / "student" / "checkpoint").exists():
        finished = read_finished(checkpoint)
        row = msgspec.structs.replace(row, steps=finished.steps, dollars=finished.plan.dollars)
    if (file := place / "evaluation" / "results.json").exists():
        found = msgspec.json.decode(file.read_bytes(), type=Results)
        row = msgspec.structs.replace(
            row, rate=found.rate, comparison=found.comparison, behaviour=found.behaviour,
            against=_against(work, cell),
        )  # fmt: skip
    return row


def _against(work: Work, cell: Cell) -> dict[str, Comparison]:
    """Its resolve rate against the first arm of each question that asks for it."""
    named = [one.arms[0] for one in work.plan.questions.values() if cell.arm in one.arms[1:]]
    firsts = [cell._replace(arm=name) for name in dict.fromkeys(named) if name != work.plan.base]
    own = _outcomes(work, cell)
    rows = {first.arm: _outcomes(work, first) for first in firsts}
    return {arm: compare(row, own) for arm, row in rows.items() if row.keys() & own.keys()}


def _outcomes(work: Work, cell: Cell) -> Rows:
    """Task → resolved, by seed; nothing before its evaluation."""
    folder = work.place(cell) / "evaluation"
    return outcomes_by_task(read_evaluation(folder)) if (folder / "results.json").exists() else {}


class _Sample(msgspec.Struct):
    recall: float
    tokens: int


def _stages(work: Work, cell: Cell) -> list[str]:
    """What it takes to be done."""
    trained = ("dataset", "train") if work.plan.arms[cell.arm].trained else ()
    losses = (f"loss-{think}" for think in work.renderings(cell.arm))
    return [*trained, *losses, *(("evaluation",) if work.is_evaluated(cell.arm) else ())]


def _state(place: Path, every: dict[str, Done | None]) -> str:
    ends = {name: done.code for name, done in every.items() if done}
    if failed := next((name for name, code in ends.items() if code not in (None, 0, EXIT_INTERRUPTED)), ""):
        return f"failed: {_reason(ends[failed] or 0, place / RECORDS / f'{failed}.log')}"
    if not ends:
        return "not begun"
    return "done" if [*ends.values()] == [0] * len(every) else "not finished"


def _reason(code: int, log: Path) -> str:
    """The sentence that a command has ended with."""
    if code < 0:
        return f"its command was ended by signal {-code}"
    said = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    found = [line.removeprefix("sera: ") for line in said if line.startswith("sera: ")] or said
    return found[-1] if found else "it said nothing"


def _loss(work: Work, cell: Cell, think: Think) -> Loss | None:
    file = work.place(cell) / f"loss-{think}.json"
    return read_loss(file) if file.exists() else None


def _page(work: Work, rows: dict[Cell, Row]) -> str:
    tables = [
        _table(work, rows, student, target, question)
        for student in work.plan.students
        for target in work.plan.targets
        for question in work.plan.questions.values()
    ]
    return "\n".join((_LEGEND, *tables))


def _table(work: Work, rows: dict[Cell, Row], student: str, target: str, question: Question) -> str:
    base, first = (Cell(student, target, arm) for arm in (work.plan.base, question.arms[0]))
    measured = _loss(work, base, question.think)
    number = len(measured.conversations) if measured else "no"
    lines = [
        f"### {question.asks}",
        "",
        f"{markdown(student)} on {markdown(target)}; loss on {number} held-out conversations "
        f"(reasoning: {question.think}).",
        "",
        f"| arm | rows | mean r | steps | loss | against {base.arm} | against {first.arm} | resolved "
        "| strict calls | minutes | state |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    arms = [Cell(student, target, arm) for arm in dict.fromkeys((base.arm, *question.arms))]
    for cell in arms:
        row = rows[cell]
        against = (_difference(work, cell, one, question.think) for one in (base, first))
        told = (
            cell.arm, _said(row.rows), _said(row.recall, ".2f"), _said(row.steps),
            _said(row.loss.get(question.think), ".3f"), *map(_said, against), _resolved(row),
            f"{row.behaviour.shares()['strict']} of {row.behaviour.turns.total}" if row.behaviour else "–",
            f"{sum(row.seconds.values()) / 60:.1f}", row.state,
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(markdown, told))} |")
    said = [line for cell in arms for line in _sentences(rows[cell], base.arm, first.arm)]
    lines += ["", *said] if said else []
    counts = {rows[cell].rows for cell in arms if rows[cell].rows is not None}
    if question.equal_rows and len(counts) > 1:
        lines += ["", f"Not a fair comparison: the arms have {', '.join(map(str, sorted(counts)))} rows."]
    return "\n".join((*lines, ""))


def _sentences(row: Row, base: str, first: str) -> Iterator[str]:
    """What may be said of its resolve rate against others."""
    for other, found in ((base, row.comparison), (first, row.against.get(first))):
        if found:
            yield f"- `{row.arm}` against `{other}`: {found.sentence(f'`{row.arm}`')}"


def _difference(work: Work, cell: Cell, other: Cell, think: Think) -> Difference | None:
    """Of the losses of two trained arms, or one and the untrained; None unless both were asked the same."""
    one, two = _loss(work, cell, think), _loss(work, other, think)
    if (
        cell in (other, other._replace(arm=work.plan.base))
        or not one
        or not two
        or one.dataset != two.dataset
    ):
        return None
    apart = [a.loss - b.loss for a, b in zip(one.conversations, two.conversations, strict=True)]
    return Difference(fmean(apart), _bootstrap(apart))


def _bootstrap(values: Sequence[float]) -> Interval:
    """The middle 95 % of the means of resampled values."""
    dice = Random(0)
    means = sorted(fmean(dice.choices(values, k=len(values))) for _ in range(_DRAWS))
    cut = _DRAWS * 25 // 1000
    return Interval(low=means[cut], high=means[-1 - cut])


def _resolved(row: Row) -> str:
    if not row.rate:
        return "–"
    spread = f" ± {row.rate.deviation:.1f}" if row.rate.deviation is not None else ""
    between = f"{row.rate.interval.low:.0f} … {row.rate.interval.high:.0f}"
    return f"{row.rate.mean:.1f}{spread} % ({between}) of {row.rate.tasks} × {row.rate.seeds}"


def _said(value: object, form: str = "") -> str:
    return "–" if value is None else format(value, form)
