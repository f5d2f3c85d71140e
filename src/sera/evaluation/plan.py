"""What `sera evaluate` is asked to do, worked out before anything is spent: tasks, environments, harness.

task set ─► tasks ─► environments ─┐
model ─► settings, saved harness ──┴─► Plan ─► trials (task × seed) ─► evaluation folder
"""

from importlib.metadata import version
from pathlib import Path

import msgspec

from sera.datasets.exchange.predictions import read_predictions
from sera.environments import Environment
from sera.errors import TasksError, UsageError
from sera.evaluation.asking import asked_as, profile_of, saved_with
from sera.evaluation.config import EvaluateConfig
from sera.evaluation.models import SCRIPTED
from sera.evaluation.record import trial_id
from sera.evaluation.tasks.record import Instance, archive_of, read_instances, read_manifest
from sera.evaluation.tasks.trees import find_environment
from sera.harness import Profile
from sera.models.checkpoints import CHECKPOINT, Checkpoint
from sera.records import Record, content_id
from sera.redaction import Redactor, make_redactor
from sera.redaction.stored import secrets_of, stored
from sera.repositories.names import project_names
from sera.runs import Manifest
from sera.settings import to_tree
from sera.teachers import LocalConfig, keys_of, make_teacher

_USUAL = (CHECKPOINT, "student")
"""What `sera train` calls every checkpoint and every GGUF: the folder that they lie in tells more."""


class Trial(Record, frozen=True):
    """One task with one seed: the unit of work."""

    instance: Instance
    seed: int

    @property
    def id(self) -> str:
        return trial_id(self.instance.instance_id, self.seed)


class Plan(Record, frozen=True):
    """An evaluation about to start or to go on."""

    config: EvaluateConfig
    manifest: Manifest
    tasks: tuple[Instance, ...]
    environments: dict[str, Environment]
    """Hash of a repository's tree → what tasks of it run in."""
    model: str
    """Its name in predictions and tables."""
    profile: Profile | None
    """The harness; None if predictions are judged."""
    predictions: dict[str, str] | None
    """Task → patch, if no model is asked."""
    redactor: Redactor
    project: tuple[str, ...]
    notices: tuple[str, ...]
    """What whoever started it should know."""

    @property
    def trials(self) -> list[Trial]:
        """All, seed by seed, so that an evaluation that is broken off has whole seeds."""
        return [Trial(instance=one, seed=n) for n in range(self.config.seeds) for one in self.tasks]


def plan_evaluation(folder: Path, config: EvaluateConfig) -> Plan:
    """Work out what to do for the tasks in `folder`, writing nothing.

    Raises `TasksError`, `ModelError` and `UsageError` for what cannot be evaluated.
    """
    stated = read_manifest(folder)
    tasks = tuple(one for one in read_instances(folder) if one.split == "evaluation")
    _refuse_unusable(folder, tasks)
    environments = {one.tree: find_environment(folder, one) for one in tasks}
    notices = _compare_environments(folder, tasks, environments, config)
    predictions = _predictions(config, tasks)
    profile: Profile | None = None
    checkpoint: Checkpoint | None = None
    told: tuple[str, ...] = ()
    if predictions is None:
        checkpoint = saved_with(config)
        config = asked_as(config, checkpoint)
        profile, told = profile_of(config, checkpoint, tasks)
    else:
        config = msgspec.structs.replace(config, seeds=1)
    project = {name for one in environments.values() for name in project_names(one.tree, one.name)}
    model, settings = _model(config)
    identity = {
        "tasks": stated.sha256,
        "model": settings,
        "checkpoint": checkpoint.digest if checkpoint else "",
        "profile": profile.hash if profile else "",
        "environments": sorted({one.digest for one in environments.values()}),
        "seed": config.seed,
        "context": config.context,
        "agent": to_tree(config.agent),
        "workdir": config.sandbox.workdir,
        "redaction": config.redaction.identity,
        **({"products": sorted(config.sandbox.products)} if config.sandbox.products else {}),
    }
    return Plan(
        config=config,
        manifest=Manifest(
            version=version("sera"),
            config=stored(to_tree(config)),
            identity=identity,
            source={"tasks": str(folder), "name": stated.name, "sha256": stated.sha256, "count": len(tasks)},
        ),
        tasks=tasks,
        environments=environments,
        model=model,
        profile=profile,
        predictions=predictions,
        redactor=make_redactor(
            config.redaction,
            (
                *secrets_of(config.sandbox.environment),
                *(() if predictions is not None else keys_of(config.teacher)),
            ),
        ),
        project=tuple(sorted(project)),
        notices=(*notices, *told),
    )


def _refuse_unusable(folder: Path, tasks: tuple[Instance, ...]) -> None:
    if not tasks:
        raise TasksError(f"{folder} has no task to evaluate: `sera tasks build` says why none was kept")
    names = [one.instance_id for one in tasks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TasksError(f"{folder} has tasks of the same name: {', '.join(twice)}")
    if blank := [one.instance_id for one in tasks if not one.failing]:
        raise TasksError(f"tasks of {folder} name no test that tells (FAIL_TO_PASS): {', '.join(blank)}")


def _compare_environments(
    folder: Path, tasks: tuple[Instance, ...], environments: dict[str, Environment], config: EvaluateConfig
) -> tuple[str, ...]:
    """Refuse environments that the tasks were not made in, unless they may differ; then say so."""
    other = sorted({one.tree for one in tasks if environments[one.tree].digest != one.environment})
    if not other:
        return ()
    listed = ", ".join(str(archive_of(folder, tree)) for tree in other)
    if config.environment == "same":
        raise TasksError(
            f"the environment that the tasks were made in is gone. `sera prepare` of {listed} makes it again "
            "if the index still has the same packages; --set environment=any takes what is prepared now"
        )
    return (f"tasks are judged in another environment than they were made in: {listed}",)


def _predictions(config: EvaluateConfig, tasks: tuple[Instance, ...]) -> dict[str, str] | None:
    match config.predictions:
        case "":
            return None
        case "gold":
            return {one.instance_id: one.patch for one in tasks}
        case "empty":
            return {one.instance_id: "" for one in tasks}
        case file:
            found = read_predictions(Path(file))
    known = {one.instance_id for one in tasks}
    if not known & found.keys():
        raise UsageError(f"{file} has a patch for none of the {len(known)} tasks: it belongs to other tasks")
    return {name: patch for name, patch in found.items() if name in known}


def _model(config: EvaluateConfig) -> tuple[str, dict[str, object]]:
    """Name and settings of what is evaluated."""
    if config.predictions in SCRIPTED:
        return config.predictions, {"kind": config.predictions}
    if config.predictions:
        file = Path(config.predictions)
        return file.stem, {"kind": "predictions", "content": content_id(file.read_text("utf-8"))}
    settings = make_teacher(config.teacher).settings
    name = str(settings.get("model", settings["kind"]))
    if name in _USUAL and isinstance(config.teacher, LocalConfig):
        name = f"{Path(config.teacher.model).resolve().parent.name}/{name}"
    return name, settings
