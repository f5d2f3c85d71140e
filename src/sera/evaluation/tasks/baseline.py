"""What a repository's tests do on the tree as it is: which are steady, and which functions each calls.

The suite runs twice, in sandboxes of its own, once with the calls noted down. A test counts
if it passed both times.
"""

import asyncio
import shlex
from collections import defaultdict
from collections.abc import Sequence

from sera.environments import Environment
from sera.environments.suite_runs import TestRun, last_line, run_tests
from sera.errors import TasksError
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.resolving import task_backend
from sera.records import Function, Record

_MOST_NAMED = 100


class Baseline(Record, frozen=True, kw_only=True):
    """The suite on the tree as it is."""

    seconds: dict[str, float]
    """Tests that passed twice, each with the time of its slower run."""
    calls: dict[str, tuple[str, ...]]
    """`path:line` of a function → those of these tests that call it, sorted, and thinned out to as many as a
    task may have."""
    flaky: tuple[str, ...]
    failing: tuple[str, ...]
    in_time: bool
    missing: int = 0
    """Tests that did not end, of a suite that was not through in time."""
    broken: tuple[str, ...] = ()
    """Test files that cannot be read in as it is."""

    def of(self, function: Function) -> tuple[str, ...]:
        """Tests that call a function."""
        return self.calls.get(f"{function.path}:{function.line}", ())

    def choose(self, function: Function, most: int, seconds: float) -> list[str]:
        """The tests for a bug in a function: those that call it, evenly thinned out if there are too many,
        then others of their files, as far as number and time allow. Sorted; at least one."""
        touching = _thinned(self.of(function), most)
        files = {name.partition("::")[0] for name in touching}
        others = [name for name in self.seconds if name.partition("::")[0] in files]
        chosen: dict[str, float] = {}
        for name in (*sorted(touching, key=self.seconds.__getitem__), *others):
            if name in chosen or len(chosen) >= most:
                continue
            if not chosen or sum(chosen.values()) + self.seconds[name] <= seconds:
                chosen[name] = self.seconds[name]
        return sorted(chosen)


async def take_baseline(environment: Environment, config: TasksConfig) -> Baseline:
    """Run the suite twice. Raises `TasksError` if there is no test to build upon."""
    async with task_backend(environment, environment.layer, config.sandbox) as backend:

        async def once(trace: bool) -> TestRun:
            async with backend.sandbox() as box:
                return await run_tests(box, environment, None, config.suite_seconds, trace=trace)

        traced, plain = await asyncio.gather(once(True), once(False))
    for run in (plain, traced):
        if run.incomplete:
            cure = f"; {run.cure}" if run.cure else ""
            raise TasksError(f"the tests of {environment.name} tell nothing: {run.incomplete}{cure}")
    baseline = _compared(traced, plain, config.tests)
    if not baseline.seconds:
        raise TasksError(_nothing(environment, plain))
    return baseline


def _compared(traced: TestRun, plain: TestRun, most: int) -> Baseline:
    steady = traced.named("passed") & plain.named("passed")
    seconds = {
        name: max(traced.outcomes[name].seconds, plain.outcomes[name].seconds) for name in sorted(steady)
    }
    calls: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name in seconds:
        for number in traced.outcomes[name].calls:
            calls[traced.places[number]].append(name)
    failed = traced.named("failed") & plain.named("failed")
    either = traced.named("passed") | plain.named("passed")
    unsteady = (either & (traced.named("failed") | plain.named("failed"))) - steady
    return Baseline(
        seconds=seconds,
        calls={f"{path}:{line}": tuple(_thinned(names, most)) for (path, line), names in calls.items()},
        flaky=tuple(sorted(unsteady)),
        failing=tuple(sorted(failed))[:_MOST_NAMED],
        in_time=traced.in_time and plain.in_time,
        missing=max(traced.missing, plain.missing),
        broken=tuple(sorted(plain.broken)),
    )


def _thinned(names: Sequence[str], most: int) -> list[str]:
    """At most that many, evenly spread."""
    return [names[n * len(names) // most] for n in range(most)] if len(names) > most else list(names)


def _nothing(environment: Environment, run: TestRun) -> str:
    if failed := sorted(run.named("failed")):
        first = run.outcomes[failed[0]]
        return (
            f"none of the {len(run.outcomes)} tests of {environment.name} passes, so no bug could be told: "
            f"{first.id} fails with {first.said.splitlines()[0] if first.said else first.kind}; "
            f"`sera prepare {shlex.quote(environment.source)}` says what is missing"
        )
    if run.broken:
        file, said = next(iter(run.broken.items()))
        return f"no test file of {environment.name} can be read in, {file} for one: {last_line(said)}"
    late = "" if run.in_time else " in the time given (suite_seconds)"
    return f"no test of {environment.name} ran{late}: {last_line(run.output) or 'it said nothing'}"
