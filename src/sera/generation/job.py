"""What `sera generate` is asked to do, worked out before anything is spent: snapshot, plan, prompts.

repository ─► snapshot ─► functions ─► tasks ─┐
profile, demonstrations, settings ────────────┴─► Job ─► (engines) ─► run directory
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec

from sera.agent import AgentConfig
from sera.environments import Environment
from sera.environments.choosing import choose_environment
from sera.errors import ConfigError, RunError
from sera.generation.demonstrations import Demonstration, load_demonstrations
from sera.harness import AUTO, DEFAULT_PROFILE, NEUTRAL_PROFILE, Profile, load_profile, profile_for
from sera.records import Layer, Ratio, Record, Task, content_id
from sera.redaction import RedactionConfig, Redactor, make_redactor
from sera.redaction.stored import secrets_of, stored
from sera.repositories import (
    FunctionIndex,
    IndexRules,
    Snapshot,
    Weights,
    index_functions,
    open_snapshot,
    plan_tasks,
)
from sera.repositories.held_out import held_out_among
from sera.repositories.history import refuse_later
from sera.repositories.names import project_names
from sera.repositories.remotes import redacted
from sera.repositories.sources import described
from sera.runs import Manifest, SpendingLimits
from sera.runs.folder import decode_file, is_recorded, read_manifest
from sera.runs.run import MANIFEST
from sera.sandboxes import NamespacesConfig, SandboxConfig
from sera.settings import Config, Count, Listed, Seconds, convert, to_tree
from sera.teachers import RehearsalConfig, TeacherConfig, keys_of, make_teacher


class GenerateConfig(Config, frozen=True):
    """Everything `sera generate` can be told."""

    functions: Listed = 100
    """Functions to sample, one task each. More than there are start a second round with other categories."""
    concurrency: Count = 16
    """Rollouts at work at once. One server takes about 32; the built-in teacher is bound by the cores."""
    seed: int = 0
    """Seed of every choice: functions, categories, demonstrations, and of the teacher's sampling."""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    """Rollouts T1 that a task may take until the self-check accepts one."""
    again: Annotated[int, msgspec.Meta(ge=0)] = 4
    """Times that a task whose teacher broke is tried again after all others, going on from its last step.
    0: only the same command does that. What the teacher refuses for good is not tried again."""
    again_after: Seconds = 60.0
    """Seconds before the first of these tries; before each further one twice as many. With the patience of a
    remote teacher the last task of a run outlives an outage of an hour."""
    stop_below: Ratio = 0.02
    """Share of the tasks ended since the command was given that must have come to a pair: below it the run
    stops and says why, at the earliest after 20. 0: never."""
    revision: str = ""
    """Commit, tag or branch to take instead of the working tree."""
    leave_out: tuple[str, ...] = ()
    """Files and directories that are no part of the snapshot, as patterns of a .gitignore, e.g. `data` or
    `*.npz`. The same for `sera prepare`, `tasks build` and `generate`, as an environment is one of
    equal files."""
    environment: str = "auto"
    """What commands run in: `auto` for what `sera prepare` has made of this very snapshot, if it has;
    `none` for the Python that runs sera; or the path of a prepared environment."""
    demonstrations: str = ""
    """Directory or JSONL file of issue texts whose style is followed. Empty: the set that ships with sera."""
    profile: str = AUTO
    """Harness profile: a name that ships with sera, or a folder; `auto` for `sera-1` where at least half of
    the functions are Python, and else for `sera-1-any`, whose words suit every language."""
    index: IndexRules = msgspec.field(default_factory=IndexRules)
    sampling: Weights = msgspec.field(default_factory=Weights)
    teacher: TeacherConfig = msgspec.field(default_factory=RehearsalConfig)
    agent: AgentConfig = msgspec.field(default_factory=AgentConfig)
    sandbox: SandboxConfig = msgspec.field(default_factory=NamespacesConfig)
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
    environment: Environment | None = None
    """What `sera prepare` has made of the snapshot, if it is used."""
    notice: str = ""
    """What the person who started it should know about the plan, or nothing."""

    @property
    def layer(self) -> Layer:
        """The tree that sandboxes share."""
        return self.environment.layer if self.environment else self.snapshot.layer

    @property
    def sandbox(self) -> SandboxConfig:
        """Settings of the sandboxes, with the environment in use."""
        return self.environment.sandbox(self.config.sandbox) if self.environment else self.config.sandbox


def plan_job(repository: str, out: Path | None, config: GenerateConfig) -> Job:
    """Work out what to do for `repository` in the run directory `out`, if any, writing nothing there.

    A run that was begun before goes on with the snapshot and the words it began with, whatever has happened
    to the repository, or to a profile of sera's, since. Raises `SourceError`, `ConfigError`, `RunError` and
    `UsageError`.
    """
    secrets = (*keys_of(config.teacher), *secrets_of(config.sandbox.environment))
    redactor = make_redactor(config.redaction, secrets)
    demonstrations = load_demonstrations(Path(config.demonstrations) if config.demonstrations else None)
    begun = _begun_with(repository, out, config)
    snapshot = _snapshot_of(repository, config, out, begun)
    if begun is None:
        refuse_later(config.index.held_out, repository, snapshot)
    used = begun.identity.get("environment", "") if begun else None
    environment = choose_environment(config.environment, snapshot, config.sandbox, used)
    index = index_functions(snapshot.tree, config.index)
    profile = _profile_of(config.profile, index.languages, out, begun)
    tasks = plan_tasks(
        index,
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
        config=stored(to_tree(config)),
        identity=_identity(config, profile, snapshot, demonstrations, environment, index.languages),
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
        project=project_names(snapshot.tree, snapshot.name),
        environment=environment,
        notice="; ".join(
            filter(
                None, (snapshot.notice, index.notice, _held_out_notice(index, config.index, snapshot.name))
            )
        ),
    )


def _held_out_notice(index: FunctionIndex, rules: IndexRules, name: str) -> str:
    """Said of a list that keeps nothing back, as one of another repository or of old paths does."""
    if not rules.held_out or held_out_among(index.functions, rules.held_out):
        return ""
    return (
        f"the held-out list names no function of {name}, so nothing is kept from this run: is it of another "
        "repository or revision?"
    )


def _clean_task(task: Task, redactor: Redactor) -> Task:
    """The task without what its function's docstring and decorators may give away."""
    function = msgspec.structs.replace(
        task.function,
        docstring=redactor.clean(task.function.docstring),
        decorators=tuple(map(redactor.clean, task.function.decorators)),
    )
    return msgspec.structs.replace(task, function=function)


def _begun_with(repository: str, out: Path | None, config: GenerateConfig) -> Manifest | None:
    """What the run in `out` was begun with, if there is one; `ConfigError` if that was another revision, or
    if other files were left out. A run of something else in which nothing was recorded is none."""
    if out is None or not (out / MANIFEST).exists():
        return None
    manifest = read_manifest(out / MANIFEST)
    before = manifest.config.get("revision", "")
    is_same = (before, manifest.config.get("leave_out", [])) == (config.revision, list(config.leave_out))
    snapshot = _recorded_snapshot(manifest)
    is_same = is_same and snapshot is not None and redacted(snapshot.source) == described(repository)
    if not is_same and not is_recorded(out):
        return None
    if before != config.revision:
        was, now = (f"revision {one!r}" if one else "no revision" for one in (before, config.revision))
        again = f"give it again (--set revision={before})" if before else "give none again"
        raise ConfigError(
            f"the run {out} was begun with {was} and is asked for with {now}: {again}, or choose another "
            "--out"
        )
    if (left_out := manifest.config.get("leave_out", [])) != list(config.leave_out):
        raise ConfigError(
            f"the run {out} was begun with leave_out={left_out} and is asked for with "
            f"{list(config.leave_out)}: give the same, or choose another --out"
        )
    return manifest


def _profile_of(name: str, languages: Mapping[str, int], out: Path | None, begun: Manifest | None) -> Profile:
    """The profile; one that ships with sera in the words that the run was begun with, if they are still
    there. Those of a folder are changed by whoever owns it, and are then another profile."""
    profile = load_profile(profile_for(languages) if name == AUTO else name)
    before = begun.identity.get("profile") if begun else profile.hash
    if out is None or before == profile.hash or name not in (AUTO, DEFAULT_PROFILE, NEUTRAL_PROFILE):
        return profile
    try:
        saved: Profile = decode_file(out / "harness.json", Profile, "")
    except RunError:
        return profile  # which the run then refuses, and says so
    return saved if (saved.name, saved.hash) == (profile.name, before) else profile


def _snapshot_of(
    repository: str, config: GenerateConfig, out: Path | None, begun: Manifest | None
) -> Snapshot:
    """The snapshot that the run was begun with, if its files are still cached; else a new one.

    `RunError` if the run is of another repository. One that has moved is the same while its files are.
    """
    recorded = _recorded_snapshot(begun)
    is_same = recorded is not None and redacted(recorded.source) == described(repository)
    if recorded and is_same and recorded.tree.is_dir():
        return recorded
    snapshot = open_snapshot(repository, revision=config.revision or None, leave_out=config.leave_out)
    if recorded and not is_same and recorded.tree_hash != snapshot.tree_hash:
        raise RunError(
            f"the run {out} is of {redacted(recorded.source)}, and {snapshot.source} is another repository: "
            "name that one, or choose another --out"
        )
    return snapshot


def _recorded_snapshot(begun: Manifest | None) -> Snapshot | None:
    """The snapshot of a run that was begun before."""
    if begun is None:
        return None
    facts = {key: value for key, value in begun.source.items() if key != "repository"}
    return convert(facts, Snapshot, "the source recorded in the run's run.json")


def _index_identity(rules: IndexRules) -> dict[str, object]:
    """Languages are named apart, by those that are there; lists of what is sampled and what is not, if there
    are any."""
    lists = ("held_out", "include", "exclude")
    tree = to_tree(rules)
    return {key: value for key, value in tree.items() if key != "languages" and (key not in lists or value)}


def _identity(
    config: GenerateConfig,
    profile: Profile,
    snapshot: Snapshot,
    demonstrations: tuple[Demonstration, ...],
    environment: Environment | None,
    languages: Iterable[str],
) -> dict[str, object]:
    """What decides what the data are like. The number of functions is not part of it: plans only grow.
    An environment, languages other than Python and products of tools are only named where there are any."""
    own: dict[str, object] = {"environment": environment.digest} if environment else {}
    if (found := sorted(languages)) != ["python"]:
        own["languages"] = found
    if config.sandbox.products:
        own["products"] = sorted(config.sandbox.products)
    return own | {
        "snapshot": snapshot.tree_hash,
        "seed": config.seed,
        "attempts": config.attempts,
        "profile": profile.hash,
        "demonstrations": content_id(demonstrations),
        "teacher": make_teacher(config.teacher).settings,
        "agent": to_tree(config.agent),
        "index": _index_identity(config.index),
        "sampling": to_tree(config.sampling),
        "workdir": config.sandbox.workdir,
        "redaction": config.redaction.identity,
    }
