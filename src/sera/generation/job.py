"""What `sera generate` is asked to do, worked out before anything is spent: snapshot, plan, prompts.

repository ─► snapshot ─► functions ─► tasks ─┐
profile, demonstrations, settings ────────────┴─► Job ─► (engines) ─► run directory
"""

from importlib.metadata import version
from pathlib import Path

import msgspec

from sera.agent import AgentConfig
from sera.errors import RunError
from sera.generation.demonstrations import Demonstration, load_demonstrations
from sera.harness import Profile, load_profile
from sera.records import Record, Task, content_id
from sera.redaction import RedactionConfig, Redactor, make_redactor
from sera.repositories import IndexRules, Snapshot, Weights, index_functions, open_snapshot, plan_tasks
from sera.repositories.names import import_names
from sera.repositories.remotes import redacted
from sera.runs import Manifest, SpendingLimits, read_run
from sera.sandboxes import SandboxConfig
from sera.settings import Config, Count, convert, to_tree
from sera.teachers import RehearsalConfig, TeacherConfig, keys_of, make_teacher


class GenerateConfig(Config, frozen=True):
    """Everything `sera generate` can be told."""

    functions: Count = 100
    """Functions to sample, one task each. More than there are start a second round with other categories."""
    concurrency: Count = 16
    """Rollouts at work at once. One server takes about 32; the built-in teacher is bound by the cores."""
    seed: int = 0
    """Seed of every choice: functions, categories, demonstrations, and of the teacher's sampling."""
    attempts: Count = 3
    """Rollouts T1 that a task may take until the self-check accepts one."""
    revision: str = ""
    """Commit, tag or branch to take instead of the working tree."""
    demonstrations: str = ""
    """Directory or JSONL file of issue texts whose style is followed. Empty: the set that ships with sera."""
    profile: str = "sera-1"
    """Harness profile: a name that ships with sera, or a folder."""
    index: IndexRules = msgspec.field(default_factory=IndexRules)
    sampling: Weights = msgspec.field(default_factory=Weights)
    teacher: TeacherConfig = msgspec.field(default_factory=RehearsalConfig)
    agent: AgentConfig = msgspec.field(default_factory=AgentConfig)
    sandbox: SandboxConfig = msgspec.field(default_factory=SandboxConfig)
    limits: SpendingLimits = msgspec.field(default_factory=SpendingLimits)
    redaction: RedactionConfig = msgspec.field(default_factory=RedactionConfig)


class Job(Record, frozen=True):
    """A run about to start or to go on."""

    config: GenerateConfig
    manifest: Manifest
    profile: Profile
    snapshot: Snapshot
    demonstrations: tuple[Demonstration, ...]
    tasks: list[Task]
    redactor: Redactor
    project: tuple[str, ...]
    """Names under which the project would be installed."""


def plan_job(repository: str, out: Path | None, config: GenerateConfig) -> Job:
    """Work out what to do for `repository` in the run directory `out`, if any, writing nothing there.

    A run that was begun before goes on with the snapshot it began with, whatever has happened to the
    repository since. Raises `SourceError`, `ConfigError`, `RunError` and `UsageError`.
    """
    profile = load_profile(config.profile)
    redactor = make_redactor(config.redaction, keys_of(config.teacher))
    demonstrations = load_demonstrations(Path(config.demonstrations) if config.demonstrations else None)
    snapshot = _begun_with(out, repository) or open_snapshot(repository, revision=config.revision or None)
    tasks = plan_tasks(
        index_functions(snapshot.tree, config.index),
        snapshot.tree_hash,
        categories=tuple(profile.categories),
        demonstrations=tuple(text.name for text in demonstrations),
        count=config.functions,
        seed=config.seed,
        attempts=config.attempts,
        weights=config.sampling,
    )
    manifest = Manifest(
        version=version("sera"),
        config=to_tree(config),
        identity=_identity(config, profile, snapshot, demonstrations),
        source={"repository": redacted(repository), **to_tree(snapshot)},
    )
    return Job(
        config=config,
        manifest=manifest,
        profile=profile,
        snapshot=snapshot,
        demonstrations=demonstrations,
        tasks=[_clean_task(task, redactor) for task in tasks],
        redactor=redactor,
        project=import_names(snapshot.tree, snapshot.name),
    )


def _clean_task(task: Task, redactor: Redactor) -> Task:
    """The task without what its function's docstring and decorators may give away."""
    function = msgspec.structs.replace(
        task.function,
        docstring=redactor.clean(task.function.docstring),
        decorators=tuple(map(redactor.clean, task.function.decorators)),
    )
    return msgspec.structs.replace(task, function=function)


def _begun_with(out: Path | None, repository: str) -> Snapshot | None:
    """The snapshot of the run in `out`, if there is one and its files are still cached."""
    if out is None or not (out / "run.json").exists():
        return None
    source = dict(read_run(out).manifest.source)
    if source.pop("repository") != redacted(repository):
        raise RunError(f"the run {out} belongs to another repository: choose another --out")
    snapshot = convert(source, Snapshot, f"the source recorded in {out / 'run.json'}")
    return snapshot if snapshot.tree.is_dir() else None


def _identity(
    config: GenerateConfig, profile: Profile, snapshot: Snapshot, demonstrations: tuple[Demonstration, ...]
) -> dict[str, object]:
    """What decides what the data are like. The number of functions is not part of it: plans only grow."""
    return {
        "snapshot": snapshot.tree_hash,
        "seed": config.seed,
        "attempts": config.attempts,
        "profile": profile.hash,
        "demonstrations": content_id(demonstrations),
        "teacher": make_teacher(config.teacher).settings,
        "agent": to_tree(config.agent),
        "index": to_tree(config.index),
        "sampling": to_tree(config.sampling),
        "workdir": config.sandbox.workdir,
        "redaction": config.redaction.identity,
    }
