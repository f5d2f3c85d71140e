"""Runs as statistics: what each task that has ended took and yielded, from the run's records alone.

Only records that count are read: of a rollout that broke and was gone on with, the whole one; of a task
that was put back, the present turn. Requests that brought no answer, and so may have been billed without
a record, are in the run's ledger, not here. The time of a rollout that was interrupted is that of
its last process.
"""

from collections.abc import Collection, Iterator

import msgspec

from sera.analysis.basis import Measured, Spent
from sera.records import Pair, PullRequest, Rollout, Stage, State, Task, Usage, Verdict
from sera.runs import Run

_OPEN = (State.FAILED, State.REQUEUED)


def measure(run: Run, planned: Collection[str] = ()) -> Measured:
    """The tasks of a run that have ended. `planned` are the ids of the plan that is to be forecast.

    Raises `UsageError` if fewer than two have ended.
    """
    ended = [(task, pair) for task, pair in run.task_pairs() if pair and pair.state not in _OPEN]
    spent = [spent_on(run, task, pair) for task, pair in ended]
    written, on_disk = sum(one.run_bytes for one in spent), _size(run)
    scale = on_disk / written if written else 1.0
    planned = set(planned)
    return Measured(
        [msgspec.structs.replace(one, run_bytes=one.run_bytes * scale) for one in spent],
        [pair.agreement.recall if pair.agreement else None for _, pair in ended],
        [task.id in planned for task, _ in ended],
        str(run.path),
    )


def spent_on(run: Run, task: Task, pair: Pair) -> Spent:
    """What one task took. Its questions are taken to last as long as its other calls."""
    rollouts, answers = list(_rollouts(run, task)), list(_answers(run, task))
    usage = sum((record.usage for record in (*rollouts, *answers)), Usage())
    rolled = sum(rollout.usage.calls for rollout in rollouts)
    row = run.rollouts.get(pair.t2) if pair.state is State.COMPLETE else None
    return Spent(
        trajectories=len(rollouts),
        calls=usage.calls,
        cached=usage.cached,
        fresh=usage.prompt - usage.cached,
        output=usage.completion,
        seconds=sum(rollout.seconds for rollout in rollouts) * (usage.calls / rolled if rolled else 1.0),
        run_bytes=sum(len(msgspec.json.encode(record)) for record in (*rollouts, *answers)),
        row_bytes=len(msgspec.json.encode(row.messages)) if row else 0,
    )


def _rollouts(run: Run, task: Task) -> Iterator[Rollout]:
    identities = [run.rollout_id(task, Stage.T1, attempt) for attempt in range(len(task.categories))]
    for identity in (*identities, run.rollout_id(task, Stage.T2, 0)):
        if rollout := run.rollouts.get(identity):
            yield rollout


def _answers(run: Run, task: Task) -> Iterator[Verdict | PullRequest]:
    for attempt in range(len(task.categories)):
        identity = run.rollout_id(task, Stage.T1, attempt)
        if verdict := run.verdicts.get(identity):
            yield verdict
        if request := run.pull_requests.get(identity):
            yield request


def _size(run: Run) -> int:
    """Bytes of everything in the run directory."""
    return sum(file.lstat().st_size for file in run.path.rglob("*") if file.is_file())
