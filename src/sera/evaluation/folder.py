"""The folder of an evaluation: a run's way of keeping things, with other records.

evaluation.json     what was asked for, resolved, and of which tasks: there before any work is
harness.json        every word that the model was told
checks.jsonl        ┐
rollouts.jsonl      │ what has been done: journals that only grow
outcomes.jsonl      ┘ one line ends a trial, a task with a seed; without one, or with a failed one, it is owed
ledger.jsonl        what requests may cost, and did cost
steps/              the steps of rollouts under way
logs/               patch, report and test output of every trial, in SWE-bench's layout
seed-N/             predictions and totals of each seed, in SWE-bench's form; written at the end
results.json        the figures; written at the end
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import RunError, boundary
from sera.evaluation.record import Checked, Outcome, State, trial_id
from sera.harness import Profile
from sera.records import Record, Usage
from sera.runs import Manifest, Trail
from sera.runs.folder import check_manifest, locked, read_manifest, replace, write_manifest
from sera.runs.journal import Journal, writable
from sera.runs.rollouts import RolloutJournal, is_metered, proven_usage, trail_of

EVALUATION, HARNESS = "evaluation.json", "harness.json"


class _OutcomeHeading(Record, frozen=True):
    task: str
    seed: int
    state: State


class _CheckedHeading(Record, frozen=True):
    task: str


class Evaluation:
    """The records of one evaluation, indexed. `open_evaluation` makes it writable."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.checks = Journal(path / "checks.jsonl", Checked, _CheckedHeading, lambda c: c.task)
        self.rollouts = RolloutJournal(path)
        self.outcomes = Journal(
            path / "outcomes.jsonl", Outcome, _OutcomeHeading, lambda o: trial_id(o.task, o.seed)
        )

    @property
    def journals(self) -> tuple[Journal[Any], ...]:
        """All journals, in the order in which they are filled."""
        return self.checks, self.rollouts, self.outcomes

    @property
    def flaws(self) -> list[str]:
        """What is wrong with which line of the journals."""
        return [str(flaw) for journal in self.journals for flaw in journal.flaws]

    @property
    def proven(self) -> Usage:
        """What an evaluation whose requests are metered has used at least, by all records but the ledger."""
        if not is_metered(self.manifest.config):
            return Usage()
        return proven_usage(self.path, self.rollouts)

    def ended(self) -> dict[str, Outcome]:
        """Trial → its definite end. One whose rollout was damaged has none."""
        every = {trial_id(one.task, one.seed): one for one in self.outcomes}
        return {
            key: one for key, one in every.items() if one.state is not State.FAILED and self.has_rollout(one)
        }

    def has_rollout(self, outcome: Outcome) -> bool:
        """Whether the rollout that was judged is whole on record, if there was one."""
        return not outcome.rollout or outcome.rollout in self.rollouts

    def trail(self, rollout: str) -> Trail:
        """The steps so far of a rollout under way, by its id."""
        return trail_of(self.path, rollout)


@contextmanager
def open_evaluation(path: Path, manifest: Manifest, profile: Profile | None) -> Iterator[Evaluation]:
    """Start an evaluation, or go on with the one that is there, as its only writer.

    Raises `RunError` if another process writes it or the folder holds something else, and `ConfigError` if it
    was begun with other tasks, another model or another harness.
    """
    with boundary(RunError, f"cannot make the folder {path}"):
        path.mkdir(parents=True, exist_ok=True)
    check_manifest(path / EVALUATION, manifest)  # before a lock is left in a folder of somebody else's
    with locked(path):
        check_manifest(path / EVALUATION, manifest)
        if profile:
            replace(path / HARNESS, msgspec.json.format(msgspec.json.encode(profile)))
        write_manifest(path / EVALUATION, manifest)
        evaluation = Evaluation(path, manifest)
        with writable(*evaluation.journals):
            for outcome in list(evaluation.outcomes):
                if outcome.state is not State.FAILED and not evaluation.has_rollout(outcome):
                    lost = "its rollout was damaged"
                    evaluation.outcomes.append(
                        msgspec.structs.replace(outcome, state=State.FAILED, reason=lost)
                    )
            yield evaluation


def read_evaluation(path: Path) -> Evaluation:
    """Open an evaluation for reading; `RunError` if there is none."""
    if not (path / EVALUATION).is_file():
        raise RunError(
            f"{path} is no evaluation: there is no {EVALUATION} in it. "
            f"`sera evaluate TASKS --model MODEL --out {path}` makes one"
        )
    return Evaluation(path, read_manifest(path / EVALUATION))
