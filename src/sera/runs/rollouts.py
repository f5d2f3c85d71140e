"""The rollouts of a folder, a run's or an evaluation's.

rollouts.jsonl             those that have ended; one that failed is kept and does not count
steps/<rollout id>.jsonl   the steps of those under way
"""

from pathlib import Path

import msgspec

from sera.errors import RunError, boundary
from sera.records import End, Record, Rollout, Usage
from sera.runs.journal import Journal
from sera.runs.trail import Trail


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


def trail_of(folder: Path, rollout: str) -> Trail:
    """The steps so far of a rollout under way, by its id."""
    return Trail(folder / "steps" / f"{rollout}.jsonl")


def usage_under_way(folder: Path) -> Usage:
    """What the steps so far of all rollouts under way have used."""
    decode, total = msgspec.json.Decoder(_Used).decode, Usage()
    for file in sorted((folder / "steps").glob("*.jsonl")):
        with boundary(RunError, f"cannot read {file}"):
            lines = file.read_bytes().splitlines()
        for line in lines:
            try:
                total += decode(line).usage
            except msgspec.DecodeError:  # torn
                break
    return total
