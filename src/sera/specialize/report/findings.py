"""What a specialisation has come to, read from its folders; whatever is not there is left out."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from sera.datasets.exchange.predictions import read_predictions
from sera.datasets.manifest import Manifest as Dataset
from sera.datasets.manifest import read_manifest as read_dataset
from sera.errors import RunError, boundary
from sera.evaluation.folder import EVALUATION, read_evaluation
from sera.evaluation.record import Outcome
from sera.evaluation.results import RESULTS, Results
from sera.evaluation.tasks.record import Instance, read_instances
from sera.evaluation.tasks.record import Manifest as TaskSet
from sera.evaluation.tasks.record import read_manifest as read_tasks
from sera.records import Finding, Record
from sera.runs import read_run
from sera.runs.summary import Summary, summarize
from sera.specialize.plan import Places
from sera.specialize.stage import Done, Stage, read_done
from sera.teachers import recorded_price
from sera.training.contract import Step
from sera.training.finish import Finished, finished_before
from sera.training.folder import read_metrics


class Evaluated(Record, frozen=True, kw_only=True):
    """One evaluation."""

    results: Results
    outcomes: dict[str, list[Outcome]]
    """Task → its definite ends, by seed."""
    patches: list[dict[str, str]]
    """By seed: task → patch handed in."""

    def resolved(self, task: str) -> bool | None:
        """By the majority of the seeds; None while a seed is owed."""
        ends = self.outcomes.get(task, [])
        if len(ends) < self.results.seeds:
            return None
        return 2 * sum(one.resolved for one in ends) > len(ends)

    def patch(self, task: str) -> str:
        """The first that resolved the task, or else the first."""
        won = [one.seed for one in self.outcomes.get(task, []) if one.resolved]
        seed = won[0] if won else 0
        return self.patches[seed].get(task, "") if seed < len(self.patches) else ""


class Findings(Record, frozen=True, kw_only=True):
    """Everything that the page tells."""

    tasks: TaskSet | None = None
    instances: tuple[Instance, ...] = ()
    summary: Summary | None = None
    """Of the run."""
    audited: dict[str, int] = msgspec.field(default_factory=dict)
    """What the audit found in the run: `severity: kind` → rollouts."""
    dataset: Dataset | None = None
    trained: Finished | None = None
    steps: tuple[Step, ...] = ()
    before: Evaluated | None = None
    after: Evaluated | None = None
    done: dict[str, Done] = msgspec.field(default_factory=dict)
    """The records of the stages."""


class _Audited(Record, frozen=True):
    findings: tuple[Finding, ...] = ()


def gather(out: Path, stages: Iterable[Stage]) -> Findings:
    """Read what is in `out`. Errors of what is there but damaged are those of its readers."""
    at = Places(out)
    run = read_run(at.run) if (at.run / "run.json").exists() else None
    has_tasks = (at.tasks / "manifest.json").exists()
    records = {stage.name: read_done(out, stage.name) for stage in stages}
    return Findings(
        tasks=read_tasks(at.tasks) if has_tasks else None,
        instances=tuple(read_instances(at.tasks)) if has_tasks else (),
        summary=summarize(run, recorded_price(run.manifest.config)) if run else None,
        audited=_audited(run.rollouts.every(_Audited)) if run else {},
        dataset=read_dataset(at.dataset) if (at.dataset / "manifest.json").exists() else None,
        trained=finished_before(at.checkpoint),
        steps=tuple(read_metrics(at.student)),
        before=_evaluated(at.before),
        after=_evaluated(at.after),
        done={name: done for name, done in records.items() if done},
    )


def _audited(rollouts: Iterable[_Audited]) -> dict[str, int]:
    found = Counter(
        name
        for one in rollouts
        for name in {f"{finding.severity}: {finding.kind}" for finding in one.findings}
    )
    return dict(sorted(found.items()))


def _evaluated(folder: Path) -> Evaluated | None:
    """An evaluation that has figures."""
    if not (folder / EVALUATION).exists() or not (folder / RESULTS).exists():
        return None
    with boundary(RunError, f"{folder / RESULTS} cannot be read", OSError, msgspec.DecodeError):
        results = msgspec.json.decode((folder / RESULTS).read_bytes(), type=Results)
    outcomes: dict[str, list[Outcome]] = {}
    for one in read_evaluation(folder).ended().values():
        outcomes.setdefault(one.task, []).append(one)
    return Evaluated(
        results=results,
        outcomes={task: sorted(ends, key=lambda one: one.seed) for task, ends in outcomes.items()},
        patches=[read_predictions(folder / f"seed-{n}" / "preds.jsonl") for n in range(results.seeds)],
    )
