"""A set of tasks held against this machine: the gold patch of each must resolve it, and no patch must not."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.record import Instance, read_instances, read_manifest
from sera.evaluation.tasks.resolving import Resolution, resolve, task_backend
from sera.evaluation.tasks.trees import find_environment, start_layer
from sera.processors import processors
from sera.records import Record


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
                seconds = config.mutant_seconds
                empty = await resolve(backend, environment, instance, "", seconds)
                gold = await resolve(backend, environment, instance, instance.patch, seconds)
        done += 1
        told(f"{done} of {len(instances)} tasks checked")
        return gold, empty

    pairs = await asyncio.gather(*map(one, instances))
    faults = [
        Fault(instance=instance.instance_id, what=what)
        for instance, (gold, empty) in zip(instances, pairs, strict=True)
        for what in _faults(instance, gold, empty)
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


def _faults(instance: Instance, gold: Resolution, empty: Resolution) -> list[str]:
    found = []
    if not instance.failing:
        found.append("it has no test that tells")
    if not gold.applied:
        found.append("its gold patch does not apply")
    elif not gold.resolved:
        failing = (*gold.still_failing, *gold.broken)
        late = "" if gold.in_time else " in time"
        found.append(f"its gold patch does not resolve it{late}: {len(failing)} tests fail, {failing[:1]}")
    if empty.resolved:
        found.append("the empty patch resolves it: its tests do not fail before")
    elif empty.broken:
        found.append(
            f"{len(empty.broken)} tests of PASS_TO_PASS do not pass before, {empty.broken[0]} for one"
        )
    return found
