"""From a repository to a set of tasks.

environment ─► suite, twice ─► functions that tests call ─► split ─► bugs, tried and judged ─► tasks
history     ─► commits that change source and tests ─► tests before and after ───────────────► tasks

What was found out is kept in `TASKS/work` as it comes, so the same command goes on where it was stopped, and
a larger number adds to what is there.
"""

import math
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sera.environments import Environment
from sera.environments.choosing import choose_environment, why_none
from sera.errors import ConfigError, TasksError, boundary
from sera.evaluation.tasks.baseline import Baseline, take_baseline
from sera.evaluation.tasks.bugs import check_operators, is_changeable
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.dealing import deal, held_out, unit_of
from sera.evaluation.tasks.history import Judged, date_of, judge_commit, list_commits
from sera.evaluation.tasks.mutants import Filled, Mutants, in_order, order_slots
from sera.evaluation.tasks.record import (
    HELD_OUT,
    MANIFEST,
    Instance,
    Kind,
    Manifest,
    Split,
    replace,
    write_rows,
)
from sera.evaluation.tasks.resolving import task_backend
from sera.evaluation.tasks.trees import find_environment, write_archive
from sera.locks import locked
from sera.processors import processors
from sera.records import Function, Record, content_id
from sera.redaction.stored import stored
from sera.repositories import IndexRules, Snapshot, index_functions, open_snapshot
from sera.repositories.history import find_history
from sera.repositories.sampling import order_functions
from sera.runs.journal import Journal, writable
from sera.runs.lines import decode, read_seal, seal
from sera.settings import to_tree

Told = Callable[[str], None]
_WORK = "work"
FIXED = "functions of files in an encoding that cannot be written back"
_NOT_IDENTITY = ("mutants", "history", "commits", "workers", "leave_out")
"""The first grow; what is left out shows in the files."""


class _Slot(Record, frozen=True):
    slot: str


class _Commit(Record, frozen=True):
    commit: str


class _Clock:
    """Seconds of work on a set, those of earlier processes included. What one has worked since it last noted
    them is lost if it is killed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._before = _noted(file)
        self._started = time.monotonic()

    def note(self) -> float:
        """Keep them; the sum so far."""
        total = round(self._before + time.monotonic() - self._started, 1)
        replace(self._file, str(total).encode())
        return total

    def noting(self, told: Told) -> Told:
        """`told`, with the seconds noted at each step."""

        def step(sentence: str) -> None:
            self.note()
            told(sentence)

        return step


def _noted(file: Path) -> float:
    """The seconds that a file tells; what is damaged tells none, and no more hangs on it."""
    with suppress(OSError, ValueError):
        seconds = float(file.read_text("utf-8"))
        return seconds if 0 <= seconds < math.inf else 0.0
    return 0.0


class _Found(NamedTuple):
    tasks: list[Instance]
    rejected: Counter[str]


async def build(
    source: str, out: Path, config: TasksConfig, cache: Path | None = None, told: Told = lambda _: None
) -> Manifest:
    """Build the set at `out`, or go on with it. `told` is called with each step.

    Raises `TasksError` if there is no environment, no test, or no task came of it.
    """
    check_operators(config.operators)
    snapshot = open_snapshot(source, cache, config.revision or None, leave_out=config.leave_out)
    if snapshot.notice:
        told(snapshot.notice)
    environment = _environment(snapshot, config)
    with _working(out, snapshot, environment, config) as work:
        clock = _Clock(work / "seconds")
        told = clock.noting(told)
        baseline = await _baseline(work, environment, config, told)
        functions, left_out = _functions(snapshot, baseline, config)
        split = deal(functions, config.split, config.seed)
        template = _template(source, snapshot, environment)
        kept = [one for one in functions if unit_of(one, split.unit) in split.evaluation]
        mutants = await _mutants(work, environment, baseline, kept, split, template, config, cache, told)
        history, split = await _history(work, source, template, split, config, cache, told)
        told("writing the set")
        facts = Manifest(
            source=snapshot.source,
            name=snapshot.name,
            tree=snapshot.tree_hash,
            commit=snapshot.origin_commit,
            dirty=snapshot.dirty,
            environment=environment.digest,
            runner=environment.plan.suite.runner,
            settings=stored(to_tree(config)),
            seed=config.seed,
            split=split,
            counts={},
            operators=dict(Counter(task.operator for task in mutants.tasks).most_common()),
            rejected=dict((left_out + mutants.rejected + history.rejected).most_common()),
            flaky=baseline.flaky,
            failing=baseline.failing,
            tests=len(baseline.seconds),
            seconds=clock.note(),
        )
        return _write(out, facts, mutants.tasks + history.tasks, environment, cache)


def _write(
    out: Path, facts: Manifest, tasks: list[Instance], environment: Environment, cache: Path | None
) -> Manifest:
    """Write the set, its manifest last; `TasksError` if there is no task."""
    if not tasks:
        reasons = ", ".join(f"{count} {reason}" for reason, count in facts.rejected.items())
        raise TasksError(f"no task came of {facts.source}: {reasons or 'nothing was tried'}")
    for one in {task.tree: task for task in tasks}.values():
        own = one.tree == environment.tree_hash
        write_archive(environment if own else find_environment(out, one, cache), out)
    changed = [entry for task in tasks if task.kind is Kind.HISTORY for entry in task.changed]
    replace(out / HELD_OUT, held_out(facts.name, facts.split, changed).encode())
    counts = dict(Counter(task.kind.value for task in tasks))
    manifest = msgspec.structs.replace(facts, counts=counts, sha256=write_rows(out, tasks))
    replace(out / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def _environment(snapshot: Snapshot, config: TasksConfig) -> Environment:
    if config.environment == "none":
        raise ConfigError("tasks need an environment to run tests in: environment cannot be none")
    environment = choose_environment(config.environment, snapshot, config.sandbox, None)
    again = f"sera prepare {shlex.quote(snapshot.source)}"
    if environment is None or not environment.works:
        why = (
            f"the environment {config.environment} is not usable: {environment.why_not}"
            if environment
            else ""
        )
        raise TasksError(f"{why or why_none(snapshot, config.sandbox)}; run `{again}`")
    return environment


def deciding(config: TasksConfig) -> dict[str, Any]:
    """The settings that two calls on one set must share."""
    tree = {key: value for key, value in to_tree(config).items() if key not in _NOT_IDENTITY}
    return tree | {"prepare": {key: value for key, value in tree["prepare"].items() if key != "leave_out"}}


@contextmanager
def _working(out: Path, snapshot: Snapshot, environment: Environment, config: TasksConfig) -> Iterator[Path]:
    """The folder of what was found out, held by this process alone; `TasksError` if it is of other facts."""
    facts = (snapshot.tree_hash, snapshot.origin_commit, environment.digest, deciding(config))
    identity = content_id("tasks", *facts)
    work = out / _WORK
    with boundary(TasksError, f"cannot write the set of tasks {out}"):
        work.mkdir(parents=True, exist_ok=True)
    busy = f"another process builds {out}"
    with locked(work / "lock", TasksError, busy, "wait for it, or choose another --out"):
        file = work / "identity"
        with boundary(TasksError, f"cannot write the set of tasks {out}"):
            if file.exists() and file.read_bytes() != identity.encode():
                raise TasksError(
                    f"{out} was begun with other files, settings or another environment: choose another --out"
                )
            replace(file, identity.encode())
        yield work


async def _baseline(work: Path, environment: Environment, config: TasksConfig, told: Told) -> Baseline:
    file = work / "baseline.json"
    if known := _known_baseline(file):
        return known
    told("running the tests twice")
    baseline = await take_baseline(environment, config)
    replace(file, seal(baseline, 1))
    late = f"; {baseline.missing} did not end in the time given (suite_seconds)" if baseline.missing else ""
    told(
        f"{len(baseline.seconds)} tests pass, {len(baseline.failing)} fail, "
        f"{len(baseline.flaky)} are flaky{late}"
    )
    return baseline


def _known_baseline(file: Path) -> Baseline | None:
    """What was found out before; None if it was not, or if it is damaged."""
    text = file.read_bytes().removesuffix(b"\n") if file.is_file() else b""
    if not read_seal(text) and b'"sum":' in text:  # older ones have no seal
        return None
    try:
        known: Baseline = decode(msgspec.json.Decoder(Baseline), text)
    except msgspec.DecodeError:
        return None
    return known


def _functions(
    snapshot: Snapshot, baseline: Baseline, config: TasksConfig
) -> tuple[list[Function], Counter[str]]:
    """The functions that tests call, in the order in which bugs are put into them; and how many others are
    called, by the reason why no bug can be put into them."""
    index = index_functions(snapshot.tree, IndexRules(min_statements=1, languages=("python",)))
    called = [one for one in index.sampleable if baseline.of(one)]
    if not called:
        raise TasksError(
            f"the {len(baseline.seconds)} tests that pass call none of the {len(index.sampleable)} functions "
            f"of {snapshot.source} in their own process: there is nothing to put a bug into"
        )
    paths = {one.path for one in called}
    changeable = {path for path in paths if is_changeable((snapshot.tree / path).read_bytes())}
    kept = [one for one in called if one.path in changeable]
    left_out = Counter({FIXED: len(called) - len(kept)} if len(kept) < len(called) else {})
    if not kept:
        raise TasksError(f"{FIXED}: {', '.join(sorted(paths))}")
    return order_functions(kept, config.seed, config.sampling), left_out


def _template(source: str, snapshot: Snapshot, environment: Environment) -> Instance:
    return Instance(
        instance_id="",
        repo=snapshot.name,
        base_commit="",
        problem_statement="",
        patch="",
        test_patch="",
        fail_to_pass="[]",
        pass_to_pass="[]",
        version=environment.version,
        environment_setup_commit=snapshot.origin_commit,
        created_at=date_of(find_history(source), snapshot.origin_commit),
        kind=Kind.MUTANT,
        tree=snapshot.tree_hash,
        environment=environment.digest,
        path="",
        runner=environment.plan.suite.runner,
        origin_commit=snapshot.origin_commit,
    )


async def _mutants(
    work: Path,
    environment: Environment,
    baseline: Baseline,
    functions: list[Function],
    split: Split,
    template: Instance,
    config: TasksConfig,
    cache: Path | None,
    told: Told,
) -> _Found:
    journal = Journal(work / "mutants.jsonl", Filled, _Slot, lambda heading: heading.slot)
    found = _Found([], Counter())
    if not config.mutants:
        return found
    known = {one.slot: one for one in journal}
    slots = order_slots(functions, config.per_function)
    mutants = Mutants(environment, baseline, config, template, split.unit, cache)
    with writable(journal):
        async with task_backend(environment, environment.layer, config.sandbox) as backend:
            filling = in_order(mutants, backend, slots, known, config.workers or processors())
            async for filled, is_new in filling:
                if is_new:
                    journal.append(filled)
                found.rejected.update(reason.partition(":")[0] for _, reason in filled.rejected)
                if filled.instance:
                    found.tasks.append(filled.instance)
                    tried = found.rejected.total() + len(found.tasks)
                    told(f"{len(found.tasks)} of {config.mutants} mutants, {tried} bugs tried")
                if len(found.tasks) == config.mutants:
                    break
            await filling.aclose()
    return found


async def _history(
    work: Path,
    source: str,
    template: Instance,
    split: Split,
    config: TasksConfig,
    cache: Path | None,
    told: Told,
) -> tuple[_Found, Split]:
    """Tasks of the newest commits, and the split with the bound in time that follows from them."""
    found = _Found([], Counter())
    local = find_history(source)
    if not config.history or local is None:
        return found, split
    journal = Journal(work / "history.jsonl", Judged, _Commit, lambda heading: heading.commit)
    with writable(journal):
        commits = list_commits(local, config.revision, config.commits)
        for number, commit in enumerate(commits, 1):
            judged = journal.get(commit.hash)
            if judged is None:
                told(
                    f"tasks of commits: {len(found.tasks)} of {config.history} wanted; "
                    f"trying commit {number} of at most {len(commits)}"
                )
                judged = await judge_commit(source, local, commit, config, template, cache)
                journal.append(judged)
            if judged.instance is None:
                found.rejected[f"commits: {judged.reason.partition(':')[0]}"] += 1
                continue
            found.tasks.append(judged.instance)
            split = msgspec.structs.replace(split, training_commit=commit.parent)
            if len(found.tasks) == config.history:
                break
    return found, split
