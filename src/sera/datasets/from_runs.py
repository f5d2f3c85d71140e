"""Runs as samples: every rollout of every task that has ended, in the order of the plan."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sera.datasets.exchange.licences import UNKNOWN, read_licence
from sera.datasets.sample import Sample, Source
from sera.records import Agreement, Pair, Rollout, Stage, State, Task, content_id
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
    )


def _held_out(run: Run) -> list[str]:
    """The entries that the run has obeyed."""
    entries: list[str] = run.manifest.config.get("index", {}).get("held_out", [])
    return entries


def _licence(tree: str) -> str:
    """By the cached files of the repository; `unknown` once they have been removed."""
    return read_licence(Path(tree)).id if tree and Path(tree).is_dir() else UNKNOWN


def read_samples(runs: Sequence[Run]) -> Iterator[Sample]:
    """All samples of all runs; tasks that are still owed have none."""
    for run in runs:
        source = source_of(run)
        for task, pair in run.task_pairs():
            if pair and pair.state not in (State.FAILED, State.REQUEUED):
                yield from _task_samples(run, source, task, pair)


def _task_samples(run: Run, source: Source, task: Task, pair: Pair) -> Iterator[Sample]:
    category = task.categories[0]
    for attempt in range(len(task.categories)):
        if t1 := run.rollouts.get(run.rollout_id(task, Stage.T1, attempt)):
            category = t1.category
            verdict = run.verdicts.get(t1.id)
            agreement = pair.agreement if t1.id == pair.t1 else None
            yield _sample(run, source, task, t1, category, agreement, bool(verdict and verdict.accepted))
    if t2 := run.rollouts.get(run.rollout_id(task, Stage.T2, 0)):
        request = run.pull_requests.get(pair.t1)
        sample = _sample(run, source, task, t2, category, pair.agreement, True)
        yield msgspec.structs.replace(sample, issue=request.text if request else "")


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
