"""The rollouts of a folder, a run's or an evaluation's.

rollouts.jsonl             those that have ended; one that failed is kept and does not count
steps/<rollout id>.jsonl   the steps of those under way; see `trail`
"""

from pathlib import Path
from typing import Literal, get_args

import msgspec

from sera.records import End, Record, Rollout, Usage
from sera.runs.journal import Journal
from sera.runs.lines import decode
from sera.runs.trail import Trail, scan_trail

Question = Literal["self_check", "pull_request"]
"""What the teacher is asked about a rollout T1."""
QUESTIONS: tuple[Question, ...] = get_args(Question)


class _Heading(Record, frozen=True):
    id: str
    end: End


class _Used(Record, frozen=True):
    usage: Usage = Usage()


def rollouts_of(folder: Path) -> Journal[Rollout]:
    """Those that have ended, by their id."""
    return Journal(
        folder / "rollouts.jsonl",
        Rollout,
        _Heading,
        lambda heading: heading.id if heading.end is not End.FAILED else None,
    )


def trail_of(folder: Path, rollout: str, question: Question | None = None) -> Trail:
    """The steps so far of a rollout under way, by its id, or the answers to a question about it."""
    return Trail(steps_file(folder, rollout, question), chained=question is None)


def steps_file(folder: Path, rollout: str, question: Question | None = None) -> Path:
    """Where that trail lies."""
    return folder / "steps" / f"{rollout}{f'-{question}' if question else ''}.jsonl"


def usage_under_way(folder: Path) -> Usage:
    """What the steps so far of all rollouts under way have used."""
    return sum(usage_of_trails(folder).values(), Usage())


def usage_of_trails(folder: Path) -> dict[str, Usage]:
    """What the whole lines of each trail have used, by the name of its file without the suffix."""
    found = {}
    for file in sorted((folder / "steps").glob("*.jsonl")):
        used = (decode(_USED, line.text).usage for line in scan_trail(file))
        found[file.stem] = sum(used, Usage())
    return found


_USED = msgspec.json.Decoder(_Used)
