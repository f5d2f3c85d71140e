"""Judging patches: a clean sandbox over a task's starting tree, the patch, the tests.

The judge itself is `tasks.resolving`. What is added: tests that fail are run once more, and count as passed
if they then pass; such tests are named as flaky. What is late, or ends the
run of its tests, is not run again. Nothing that the rollout did
but its patch gets here.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from sera.environments import Environment
from sera.errors import RolloutError, TasksError
from sera.evaluation.plan import Plan
from sera.evaluation.record import Checked
from sera.evaluation.tasks.checking import faults_of
from sera.evaluation.tasks.record import Instance
from sera.evaluation.tasks.resolving import resolve, task_backend, with_tests
from sera.evaluation.tasks.trees import start_layer
from sera.records import Record
from sera.sandboxes import Backend


class Grade(Record, frozen=True):
    """What became of a patch."""

    resolved: bool
    applied: bool
    still_failing: tuple[str, ...]
    broken: tuple[str, ...]
    flaky: tuple[str, ...]
    in_time: bool
    incomplete: str
    """Why the tests were not run to their end; empty: they were, or time is the reason."""
    output: str
    seconds: float


class Ground(msgspec.Struct, frozen=True):
    """Where a task is worked on and judged: sandboxes over its starting tree."""

    instance: Instance
    environment: Environment
    backend: Backend

    async def grade(self, patch: str, seconds: float) -> Grade:
        """Judge a patch; each of the two runs of tests may take `seconds`."""
        started = time.monotonic()
        first = await resolve(self.backend, self.environment, self.instance, patch, seconds)
        again, output = first, first.output
        if first.applied and first.in_time and not first.resolved and not first.incomplete:
            failed = with_tests(self.instance, list(first.still_failing), list(first.broken))
            again = await resolve(self.backend, self.environment, failed, patch, seconds)
            output += f"\nonce more, what failed:\n{again.output}"
        passed = {*first.still_failing, *first.broken} - {*again.still_failing, *again.broken}
        return Grade(
            resolved=first.applied and not again.still_failing and not again.broken,
            applied=first.applied,
            still_failing=again.still_failing,
            broken=again.broken,
            flaky=tuple(sorted(passed)) if first.applied else (),
            in_time=again.in_time,
            incomplete=again.incomplete,
            output=output,
            seconds=round(time.monotonic() - started, 3),
        )


@asynccontextmanager
async def ground_of(plan: Plan, instance: Instance) -> AsyncIterator[Ground]:
    """Open the ground of a task. Raises `TasksError` if its starting tree cannot be made."""
    environment = plan.environments[instance.tree]
    layer = await asyncio.to_thread(start_layer, environment, instance)
    async with task_backend(environment, layer, plan.config.sandbox) as backend:
        yield Ground(instance, environment, backend)


async def check_task(plan: Plan, instance: Instance) -> Checked:
    """Judge the task's own patch and the empty one: the first must resolve it, the second must not."""
    seconds = plan.config.test_seconds
    try:
        async with ground_of(plan, instance) as ground:
            gold = await ground.grade(instance.patch, seconds)
            problem = _flaky(gold)
            if not problem:
                empty = await ground.grade("", seconds)
                problem = _flaky(empty) or "; ".join(faults_of(instance, gold, empty))
    except TasksError as broken:
        return Checked(task=instance.instance_id, problem=str(broken))
    except RolloutError as broken:
        raise TasksError(f"{instance.instance_id} cannot be checked: {broken}") from broken
    return Checked(task=instance.instance_id, problem=problem)


def _flaky(grade: Grade) -> str:
    return f"flaky tests, which fail once and pass once: {', '.join(grade.flaky)}" if grade.flaky else ""
