"""What a run has begun and not ended, from the steps that are kept of it; for those who only look."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sera.records import Record, Stage, Task
from sera.runs.lines import records
from sera.runs.rollouts import QUESTIONS, Question, steps_file
from sera.runs.run import Run
from sera.runs.trail import scan_trail


class UnderWay(Record, frozen=True):
    """A rollout, or a question about one."""

    pair: int
    """The task's number."""
    task: str
    stage: Stage
    attempt: int
    """From 0."""
    question: Question | None
    """None: the rollout itself."""
    steps: int
    """Replies so far."""
    seconds: float
    """Since the first reply; since it was begun while there is none."""
    silent: float
    """Seconds since anything was recorded of it."""


class _Half(Record, frozen=True):
    type: str
    at: float = 0.0


def under_way(run: Run) -> list[UnderWay]:
    """Of every task that is owed, the longest silent first. Also of a run that nobody works on."""
    files = {file.name for file in (run.path / "steps").glob("*.jsonl")}
    found = [one for task in (run.owed() if files else []) for one in _of(run, task, files)]
    return sorted(found, key=lambda one: -one.silent)


def _of(run: Run, task: Task, files: set[str]) -> Iterator[UnderWay]:
    for stage, attempt, identity in run.rollout_ids(task):
        for question in (None, *QUESTIONS):
            file = steps_file(run.path, identity, question)
            recorded = question is None and identity in run.rollouts
            if file.name not in files or recorded or (looked := _look(file)) is None:
                continue
            steps, begun, last = looked
            now = time.time()
            yield UnderWay(
                pair=task.index,
                task=task.id,
                stage=stage,
                attempt=attempt,
                question=question,
                steps=steps,
                seconds=round(max(now - begun, 0.0), 1),
                silent=round(max(now - last, 0.0), 1),
            )


def _look(file: Path) -> tuple[int, float, float] | None:
    """(replies, when it began, when it was last written); None if it has ended meanwhile."""
    try:
        last = file.stat().st_mtime
    except FileNotFoundError:
        return None
    halves = list(records(scan_trail(file), _HALF))
    times = [half.at for half in halves if half.type == "replied"]
    return len(times), next(filter(None, times), last), last


_HALF = msgspec.json.Decoder(_Half)
