"""Whether a task is one: its gold patch resolves it, and without a patch just the tests that tell fail.

The one judgement of that, for whoever builds a set, checks one, or is about to evaluate with one.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sera.environments import Environment
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.record import Instance, read_instances, read_manifest
from sera.evaluation.tasks.resolving import Resolution, resolve, task_backend
from sera.evaluation.tasks.trees import find_environment, start_layer
from sera.processors import processors
from sera.records import Record
from sera.sandboxes import Backend

_NAMED = 3


class Verdict(Protocol):
    """What became of a patch, as a `Resolution` tells it."""

    @property
    def applied(self) -> bool: ...
    @property
    def still_failing(self) -> tuple[str, ...]: ...
    @property
    def broken(self) -> tuple[str, ...]: ...
    @property
    def in_time(self) -> bool: ...
    @property
    def incomplete(self) -> str: ...


class Fault(Record, frozen=True, kw_only=True):
    """A task that is not one here."""

    instance: str
    what: str


class Check(Record, frozen=True, kw_only=True):
    """What came of a check."""

    tasks: int
    gold: int
    """Tasks that their gold patch resolves."""
    empty: int
    """Tasks that the empty patch resolves."""
    passing: int
    """Tests of PASS_TO_PASS in all."""
    kept: int
    """Of those, the ones that pass with no patch, as they should."""
    faults: tuple[Fault, ...]


async def check(
    folder: Path, config: TasksConfig, cache: Path | None = None, told: Callable[[str], None] = lambda _: None
) -> Check:
    """Judge gold and empty patches of every task. Raises `TasksError` for a set that is damaged, or an
    environment that is not there."""
    read_manifest(folder)
    instances = read_instances(folder)
    free = asyncio.Semaphore(config.workers or processors())
    done = 0

    async def one(instance: Instance) -> tuple[Resolution, Resolution]:
        nonlocal done
        async with free:
            environment = find_environment(folder, instance, cache)
            layer = await asyncio.to_thread(start_layer, environment, instance, cache)
            async with task_backend(environment, layer, config.sandbox) as backend:
                gold, empty = await both(backend, environment, instance, config.mutant_seconds)
        done += 1
        told(f"{done} of {len(instances)} tasks checked")
        return gold, empty

    pairs = await asyncio.gather(*map(one, instances))
    faults = [
        Fault(instance=instance.instance_id, what=what)
        for instance, (gold, empty) in zip(instances, pairs, strict=True)
        for what in faults_of(instance, gold, empty)
    ]
    return Check(
        tasks=len(instances),
        gold=sum(gold.resolved for gold, _ in pairs),
        empty=sum(empty.resolved for _, empty in pairs),
        passing=sum(len(instance.passing) for instance in instances),
        kept=sum(
            len(instance.passing) - len(empty.broken)
            for instance, (_, empty) in zip(instances, pairs, strict=True)
        ),
        faults=tuple(faults),
    )


async def both(
    backend: Backend, environment: Environment, instance: Instance, seconds: float
) -> tuple[Resolution, Resolution]:
    """A task judged with its gold patch, and with none."""
    gold = await resolve(backend, environment, instance, instance.patch, seconds)
    return gold, await resolve(backend, environment, instance, "", seconds)


def faults_of(instance: Instance, gold: Verdict, empty: Verdict) -> list[str]:
    """Why a task is none; what follows a colon is of that task alone."""
    if not instance.failing:
        return ["it has no test that tells"]
    if not gold.applied:
        return ["its gold patch does not apply: it does not fit its starting tree"]
    if not (gold.in_time and empty.in_time):
        return ["its tests are not through in time"]
    if incomplete := gold.incomplete or empty.incomplete:
        return [f"its tests do not run to their end: {incomplete}"]
    found = []
    if failed := (*gold.still_failing, *gold.broken):
        found.append(
            f"its gold patch does not resolve it: tests fail with its own patch too, {_some(failed)}"
        )
    if early := tuple(sorted({*instance.failing} - {*empty.still_failing})):
        found.append(f"tests that should fail without a patch pass: {_some(early)}")
    if empty.broken:
        found.append(f"tests that should pass without a patch fail: {_some(empty.broken)}")
    return found


def _some(tests: tuple[str, ...]) -> str:
    return ", ".join(tests[:_NAMED]) + (f" and {len(tests) - _NAMED} more" if len(tests) > _NAMED else "")
