"""Runs as statistics: what each task that has ended took and yielded, from the run's records and its ledger.

Only records that count are read: of a rollout that broke and was gone on with, the whole one; of a task
that was put back, the present turn. What the ledger has beyond them, such as repeats and what was put
back, is spread over the tasks that have ended, each by what it took. Requests of which nobody can say whether
they were billed are in no task. The time of a rollout that was interrupted is that of its last process.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from sera.analysis.basis import Measured, Spent
from sera.records import Pair, PullRequest, Rollout, State, Task, Usage, Verdict
from sera.runs import LEDGER, Run, read_ledger
from sera.runs.rollouts import usage_under_way

_OPEN = (State.FAILED, State.REQUEUED)


def measure(run: Run, planned: Collection[str] = ()) -> Measured:
    """The tasks of a run that have ended. `planned` are the ids of the plan that is to be forecast.

    Raises `UsageError` if fewer than two have ended.
    """
    ended = [(task, pair) for task, pair in run.task_pairs() if pair and pair.state not in _OPEN]
    spent = _as_billed(run, [spent_on(run, task, pair) for task, pair in ended])
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


def recorded_usage(run: Run, task: Task) -> Usage:
    """Of the model calls of a task that count, however far it is."""
    return sum((record.usage for record in (*_rollouts(run, task), *_answers(run, task))), Usage())


def _as_billed(run: Run, spent: Sequence[Spent]) -> list[Spent]:
    """The tasks that have ended with their shares of the bill; as they are where nothing was metered."""
    whole, waiting = read_ledger(run.path / LEDGER).usage, usage_under_way(run.path)
    waiting += sum((recorded_usage(run, task) for task in run.owed()), Usage())
    billed = {
        "calls": whole.calls - waiting.calls,
        "cached": whole.cached - waiting.cached,
        "fresh": (whole.prompt - whole.cached) - (waiting.prompt - waiting.cached),
        "output": whole.completion - waiting.completion,
    }
    recorded = {name: sum(getattr(one, name) for one in spent) for name in billed}
    factors = {name: max(billed[name] / recorded[name], 1.0) if recorded[name] else 1.0 for name in billed}
    return [
        msgspec.structs.replace(one, **{name: getattr(one, name) * factors[name] for name in billed})
        for one in spent
    ]


def _rollouts(run: Run, task: Task) -> Iterator[Rollout]:
    for _, _, identity in run.rollout_ids(task):
        if rollout := run.rollouts.get(identity):
            yield rollout


def _answers(run: Run, task: Task) -> Iterator[Verdict | PullRequest]:
    for _, _, identity in run.rollout_ids(task):
        if verdict := run.verdicts.get(identity):
            yield verdict
        if request := run.pull_requests.get(identity):
            yield request


def _size(run: Run) -> int:
    """Bytes of everything in the run directory."""
    return sum(file.lstat().st_size for file in run.path.rglob("*") if file.is_file())
