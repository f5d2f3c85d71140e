"""The rollouts of a folder, a run's or an evaluation's.

rollouts.jsonl             those that have ended; one that failed is kept and does not count
steps/<rollout id>.jsonl   the steps of those under way; see `trail`
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from sera.records import End, Record, Rollout, Usage
from sera.runs.journal import Journal
from sera.runs.lines import records
from sera.runs.trail import Trail, scan_trail

Question = Literal["self_check", "pull_request"]
"""What the teacher is asked about a rollout T1."""
QUESTIONS: tuple[Question, ...] = get_args(Question)


class _Used(Record, frozen=True):
    usage: Usage = Usage()


class _Heading(_Used, frozen=True, kw_only=True):
    id: str
    end: End
    restarts: int = 0
    left_out: int = 0


class _Answer(_Used, frozen=True, kw_only=True):
    rollout: str


_USED = msgspec.json.Decoder(_Used)


class RolloutJournal(Journal[Rollout]):
    """Those of a folder that have ended, by their id, and what each has used: read in one pass, since it is
    by far the largest file."""

    def __init__(self, folder: Path) -> None:
        self._past: dict[str, Usage] = {}
        self._last: dict[str, Usage] = {}
        self._left_out: dict[str, int] = {}
        super().__init__(folder / "rollouts.jsonl", Rollout, _Heading, self._note)

    @property
    def usage(self) -> dict[str, Usage]:
        """What every rollout on record has used. One that broke is part of the record of what went on from
        it; only if that was begun anew are both counted."""
        return self._last | {identity: past + self._last[identity] for identity, past in self._past.items()}

    @property
    def left_out(self) -> int:
        """Files that are in no patch, being products of tools."""
        return sum(self._left_out.values())

    def _note(self, heading: _Heading) -> str | None:
        identity = heading.id
        if heading.restarts and identity in self._last:
            self._past[identity] = self._past.get(identity, Usage()) + self._last[identity]
        self._last[identity] = heading.usage
        self._left_out[identity] = heading.left_out
        return identity if heading.end is not End.FAILED else None


def trail_of(folder: Path, rollout: str, question: Question | None = None) -> Trail:
    """The steps so far of a rollout under way, by its id, or the answers to a question about it."""
    return Trail(steps_file(folder, rollout, question), chained=question is None)


def trails_in(folder: Path) -> list[Path]:
    """The files of all rollouts and questions under way."""
    return sorted(file for file in (folder / "steps").glob("*.jsonl") if file.is_file())


def steps_file(folder: Path, rollout: str, question: Question | None = None) -> Path:
    """Where that trail lies."""
    return folder / "steps" / f"{rollout}{f'-{question}' if question else ''}.jsonl"


def usage_under_way(folder: Path) -> Usage:
    """What the steps so far of all rollouts under way have used."""
    return sum(_usage_of_trails(folder).values(), Usage())


def proven_usage(folder: Path, rollouts: RolloutJournal, **answers: Journal[Any]) -> Usage:
    """What has been used at least, by the records of a folder: rollouts, answers to questions by the name of
    the question, and the steps under way of what is not on record."""
    made, trails = rollouts.usage, _usage_of_trails(folder)
    for question, journal in answers.items():
        for answer in journal.every(_Answer):
            made[f"{answer.rollout}-{question}"] = answer.usage
    waiting = [used for name, used in trails.items() if name not in made]
    under_way = [_larger(used, trails[name]) for name, used in made.items() if name in trails]
    ended = [used for name, used in made.items() if name not in trails]
    return sum((*waiting, *under_way, *ended), Usage())


def is_metered(config: Mapping[str, Any]) -> bool:
    """Whether the requests of a folder begun with these settings are in its ledger: those to a server are,
    and others where a limit is to be tried."""
    return config.get("teacher", {}).get("kind") == "chat" or any(config.get("limits", {}).values())


def _larger(one: Usage, other: Usage) -> Usage:
    """Of a rollout that broke and the steps it left, which hold the same replies."""
    return max(one, other, key=lambda used: used.prompt + used.completion)


def _usage_of_trails(folder: Path) -> dict[str, Usage]:
    """What the whole lines of each trail have used, by the name of its file without the suffix."""
    found = {}
    for file in trails_in(folder):
        used = (half.usage for half in records(scan_trail(file), _USED))
        found[file.stem] = sum(used, Usage())
    return found
