"""Runs as samples: every rollout of every task that has ended, in the order of the plan."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sera.datasets.exchange.licences import UNKNOWN, read_licence
from sera.datasets.sample import Sample, Source
from sera.records import Agreement, End, Pair, Rollout, Stage, State, Task, content_id
from sera.repositories.history import bounds_among
from sera.runs import Run


def source_of(run: Run) -> Source:
    """Where a run's samples come from. Two runs that were asked for the same thing are the same."""
    snapshot = run.manifest.source
    return Source(
        repository=snapshot["name"],
        commit=snapshot["origin_commit"] or snapshot["tree_hash"],
        run=content_id(run.manifest.identity),
        before=tuple(bound.commit for bound in bounds_among(_held_out(run))),
        licence=_licence(snapshot.get("tree", "")),
        dirty=bool(snapshot.get("dirty", False)),
    )


def _held_out(run: Run) -> list[str]:
    """The entries that the run has obeyed."""
    entries: list[str] = run.manifest.config.get("index", {}).get("held_out", [])
    return entries


def _licence(tree: str) -> str:
    """By the cached files of the repository; `unknown` once they have been removed."""
    return read_licence(Path(tree)).id if tree and Path(tree).is_dir() else UNKNOWN


def read_samples(runs: Sequence[Run]) -> Iterator[Sample]:
    """All samples of all runs; tasks that are still owed have none. Of one whose records were damaged, those
    that are whole, and the others as `damaged`."""
    for run in runs:
        source = source_of(run)
        for task, pair in run.recorded():
            if pair and pair.state not in (State.FAILED, State.REQUEUED):
                yield from _task_samples(run, source, task, pair)


def _task_samples(run: Run, source: Source, task: Task, pair: Pair) -> Iterator[Sample]:
    category, lacking = task.categories[0], run.lacks(task, pair)
    for attempt in range(len(task.categories)):
        identity = run.rollout_id(task, Stage.T1, attempt)
        if identity in lacking:
            yield _damaged(run, source, task, identity, Stage.T1)
        elif t1 := run.rollouts.get(identity):
            category = t1.category
            verdict = run.verdicts.get(t1.id)
            agreement = pair.agreement if t1.id == pair.t1 else None
            yield _sample(run, source, task, t1, category, agreement, bool(verdict and verdict.accepted))
    identity = run.rollout_id(task, Stage.T2, 0)
    if identity in lacking:
        yield _damaged(run, source, task, identity, Stage.T2)
    elif t2 := run.rollouts.get(identity):
        request = run.pull_requests.get(pair.t1)
        sample = _sample(run, source, task, t2, category, pair.agreement, True)
        yield msgspec.structs.replace(sample, issue=request.text if request else "")


def _damaged(run: Run, source: Source, task: Task, identity: str, stage: Stage) -> Sample:
    """Stands for a rollout of which not everything is whole on record."""
    lost = Rollout(
        id=identity,
        task=task.id,
        stage=stage,
        attempt=0,
        end=End.FAILED,
        messages=(),
        profile=run.profile.hash,
    )
    sample = _sample(run, source, task, lost, task.categories[0], None, False)
    return msgspec.structs.replace(sample, damaged=True)


def _sample(
    run: Run,
    source: Source,
    task: Task,
    rollout: Rollout,
    category: str,
    agreement: Agreement | None,
    accepted: bool,
) -> Sample:
    return Sample(
        id=rollout.id,
        task=task.id,
        index=task.index,
        stage=rollout.stage,
        end=rollout.end,
        messages=rollout.messages,
        patch=rollout.patch,
        findings=rollout.findings,
        accepted=accepted,
        agreement=agreement,
        category=category,
        function=task.function.name,
        path=task.function.path,
        source=source,
        profile=rollout.profile,
        tools=run.profile.tools,
        teacher=rollout.teacher,
    )
