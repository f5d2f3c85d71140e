"""What an evaluation records: what the check of a task found, and what became of each rollout's patch."""

from enum import StrEnum

from sera.records import SCHEMA, Record


class State(StrEnum):
    """What became of one task with one seed."""

    RESOLVED = "resolved"
    """Every test of FAIL_TO_PASS and PASS_TO_PASS passes."""
    UNRESOLVED = "unresolved"
    EMPTY = "empty"
    """No patch was handed in, or one without a change."""
    UNAPPLIED = "unapplied"
    """The patch does not fit the starting tree."""
    FAILED = "failed"
    """Sandbox or model broke: owed again on the next run."""


class Outcome(Record, frozen=True):
    """The end of one trial. Written last: a trial without one, or with a failed one, is owed."""

    task: str
    seed: int
    state: State
    reason: str = ""
    """How the rollout ended, if not with a patch handed in; or an error's text."""
    rollout: str = ""
    """Id of the rollout, empty if a prediction was judged."""
    still_failing: tuple[str, ...] = ()
    """Of FAIL_TO_PASS, those that do not pass."""
    broken: tuple[str, ...] = ()
    """Of PASS_TO_PASS, those that do not pass any more."""
    flaky: tuple[str, ...] = ()
    """Tests that failed, and passed when they were run once more: they count as passed."""
    in_time: bool = True
    test_seconds: float = 0.0
    finished: float = 0.0
    """When, in seconds since 1970."""
    schema: int = SCHEMA

    @property
    def resolved(self) -> bool:
        return self.state is State.RESOLVED


class Checked(Record, frozen=True):
    """What judging a task's own patch and the empty patch has shown."""

    task: str
    problem: str = ""
    """What is wrong with the task; empty: nothing."""
    schema: int = SCHEMA


def trial_id(task: str, seed: int) -> str:
    """The key of a trial in the journals."""
    return f"{task}@{seed}"
