"""The errors of `sera`: one tree, so that every failure names the boundary it crossed.

    SeraError
    ├── UsageError             the caller asked for something that cannot be: exit code 2
    │   └── ConfigError        a setting is unknown, malformed, or would mix unlike data in one run
    ├── SourceError            the repository cannot be read, cloned or unpacked
    ├── PrepareError           the repository's environment cannot be built, or is gone
    ├── RunError               the run directory is locked, damaged or of another version
    ├── DatasetError           a dataset cannot be built from what is there
    ├── TasksError             tasks cannot be built, or are not what they should be
    ├── ModelError             weights are not here, are not what they should be, or cannot be run
    ├── TrainError             a student cannot be trained with this, or its training failed
    ├── TeacherUnusable        no request can succeed (wrong key, model or address): ends the run
    ├── BudgetExhausted        the next request might cost more than is left: ends the run, nothing is lost
    ├── Halted                 somebody asked the run to stop; everything is saved
    └── RolloutError           one rollout failed: recorded as data, the run goes on
        ├── SandboxError       the sandbox could not be made, or is gone
        │   └── SandboxLost    it was made, and is gone: what ran in it may have done that
        ├── ReplayDiverged     an interrupted rollout could not be rebuilt: it is begun anew
        └── TeacherError       the teacher could not be reached or did not answer as agreed
            ├── TeacherRefused     it answered, and said no for good (4xx): repeating is useless
            └── ContextOverflow    the messages no longer fit the teacher's context

A `RolloutError` is data: the run records it and owes the work again. Anything that is not a
`SeraError` is a bug and ends the process with its traceback; `boundary` is the one place where
foreign exceptions are turned into ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class SeraError(Exception):
    """Base of all expected failures. The message names the thing, the place and the cure."""


class UsageError(SeraError):
    """The caller asked for something that cannot be."""


class ConfigError(UsageError):
    """A setting is unknown, malformed, or would mix unlike data in one run."""


class SourceError(SeraError):
    """The repository cannot be read, cloned or unpacked."""


class PrepareError(SeraError):
    """The repository's environment cannot be built, or is gone."""


class RunError(SeraError):
    """The run directory is locked, damaged or of another version."""


class DatasetError(SeraError):
    """A dataset cannot be built from what is there."""


class TasksError(SeraError):
    """Tasks of a repository cannot be built, or a set of them is not what it should be."""


class ModelError(SeraError):
    """Weights are not on this machine, are not what they should be, or cannot be run."""


class TrainError(SeraError):
    """A student cannot be trained with what is there, or its training failed."""


class TeacherUnusable(SeraError):
    """No request to this teacher can succeed: a wrong key, model or address. Ends the run."""


class Halted(SeraError):
    """Somebody asked the run to stop. Nothing is lost: the same command goes on."""


class BudgetExhausted(SeraError):
    """The next request might cost more than is left. Ends the run; its tasks stay owed."""


class RolloutError(SeraError):
    """One rollout failed: recorded as data, and owed again."""


class SandboxError(RolloutError):
    """The sandbox could not be made, or is gone."""


class SandboxLost(SandboxError):
    """It was made, and is gone or answers otherwise than agreed: what ran in it may have done that."""


class ReplayDiverged(RolloutError):
    """An interrupted rollout could not be rebuilt from its recorded steps: it is begun anew."""


class TeacherError(RolloutError):
    """The teacher could not be reached or did not answer as agreed."""

    retry_after: float | None = None
    """Seconds the teacher asked us to wait before the next request, if it said so."""


class TeacherRefused(TeacherError):
    """The teacher answered, and said no for good: repeating the request is useless."""


class ContextOverflow(TeacherError):
    """The messages no longer fit the teacher's context."""


@contextmanager
def boundary(error: type[SeraError], what: str, *expected: type[Exception]) -> Iterator[None]:
    """Attribute the `expected` exceptions (default: `OSError`) that leave the block to `error`.

    `what` says what was being done, for the message. Our own errors pass unchanged.
    """
    caught = expected or (OSError,)
    try:
        yield
    except SeraError:
        raise
    except caught as cause:
        detail = str(cause) or type(cause).__name__
        raise error(f"{what}: {detail}") from cause
