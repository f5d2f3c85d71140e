"""Tasks made by putting a bug into a function that tests call.

A *slot* is one function in one round, with a few bugs of its own to try. Slots stand in a fixed order, all
functions once before any comes again, and depend on nothing but the seed, so that a longer set begins with
the shorter one.
Each bug is tried against the tests of its function; what they find becomes a task, which is then judged as
an evaluation would: the gold patch must resolve it, no patch must not.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import msgspec

from sera.environments import Environment
from sera.environments.suite_answers import Outcome
from sera.environments.suite_runs import (
    Order,
    TestRun,
    files_of,
    last_line,
    run_tests,
    test_command,
)
from sera.errors import SandboxLost
from sera.evaluation.tasks.alone import Runs, find_telling
from sera.evaluation.tasks.baseline import Baseline
from sera.evaluation.tasks.bugs import Bug, apply_bug, find_bugs
from sera.evaluation.tasks.checking import both, faults_of
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.dealing import unit_of
from sera.evaluation.tasks.diffs import diff, diff_all, diff_lines
from sera.evaluation.tasks.hiding import hide, read_within, readable
from sera.evaluation.tasks.issue import write_issue
from sera.evaluation.tasks.record import Instance, Kind, task_name
from sera.evaluation.tasks.resolving import task_backend
from sera.evaluation.tasks.trees import drop_start, make_start
from sera.records import Function, Record, content_id
from sera.sandboxes import Backend

SURVIVED = "no test fails"
_SLOWER, _LEAST = 10.0, 10.0


class Slot(Record, frozen=True, kw_only=True):
    """One function in one round."""

    id: str
    function: Function
    round: int


class Filled(Record, frozen=True, kw_only=True):
    """What became of a slot."""

    slot: str
    rejected: tuple[tuple[str, str], ...] = ()
    """Operator and reason of each bug that is no task; what follows a colon is of that one alone."""
    instance: Instance | None = None


def order_slots(functions: Sequence[Function], rounds: int) -> Iterator[Slot]:
    """Every function in its order, round after round."""
    for number in range(rounds):
        for function in functions:
            yield Slot(id=content_id(function.id, number), function=function, round=number)


class Mutants:
    """Fills slots."""

    def __init__(
        self,
        environment: Environment,
        baseline: Baseline,
        config: TasksConfig,
        template: Instance,
        unit: str,
        cache: Path | None,
    ) -> None:
        """`template` is a task with everything that all tasks of the set have in common."""
        self._environment = environment
        self._baseline = baseline
        self._config = config
        self._template = template
        self._unit = unit
        self._cache = cache

    async def fill(self, backend: Backend, slot: Slot) -> Filled:
        """Try the bugs of a slot until one is a task; `backend` is over the tree as it is."""
        bugs = self._bugs(slot)
        rejected = [] if bugs or slot.round else [("", "no kind of bug fits the function")]
        for bug in bugs:
            try:
                found = await self._try(backend, slot, bug)
            except SandboxLost as problem:
                found = f"ends its sandbox: {problem}"
            if isinstance(found, Instance):
                return Filled(slot=slot.id, rejected=tuple(rejected), instance=found)
            rejected.append((bug.operator, found))
        return Filled(slot=slot.id, rejected=tuple(rejected))

    def _bugs(self, slot: Slot) -> list[Bug]:
        tries, function = self._config.tries, slot.function
        content = (self._environment.tree / function.path).read_bytes()
        most = tries * (slot.round + 1)
        found = find_bugs(content, function.line, self._config.seed, most, self._config.operators)
        return found[tries * slot.round :]

    async def _try(self, backend: Backend, slot: Slot, bug: Bug) -> Instance | str:
        """The task that a bug gives, or why it gives none."""
        config, function = self._config, slot.function
        wanted = self._baseline.choose(function, config.tests, config.test_seconds)
        seconds = sum(self._baseline.seconds[name] for name in wanted)
        content = (self._environment.tree / function.path).read_bytes()
        async with backend.sandbox() as box:
            await box.write(function.path, apply_bug(content, bug))
            each = _SLOWER * max(self._baseline.seconds[name] for name in wanted) + _LEAST
            run = await run_tests(box, self._environment, wanted, config.mutant_seconds, each)
        if reason := self._against(run, wanted):
            return reason
        failed = [name for name in wanted if name in run.named("failed")]
        bad = apply_bug(content, bug)
        telling = await find_telling(
            failed, self._apart(backend, function.path, bad), self._apart(backend, function.path, content)
        )
        if isinstance(telling, str):
            return telling
        passing = [name for name in wanted if name in run.named("passed")]
        instance = self._instance(slot, bug, content, telling, passing, seconds)
        return instance if isinstance(instance, str) else await self._confirmed(instance)

    def _apart(self, backend: Backend, path: str, content: bytes) -> Runs:
        """Runs tests apart over the tree with this content of the one file."""

        async def run(tests: Sequence[str], order: Order) -> TestRun:
            async with backend.sandbox() as box:
                await box.write(path, content)
                seconds = self._config.mutant_seconds
                return await run_tests(box, self._environment, tests, seconds, apart=order)

        return run

    def _against(self, run: TestRun, wanted: list[str]) -> str:
        files = files_of(wanted)
        if broken := [said for place, said in run.broken.items() if place.partition("::")[0] in files]:
            return f"does not import: {last_line(broken[0])}"
        if not run.in_time:
            return "a test does not end"
        if run.incomplete:
            return f"ends the run of its tests: {run.incomplete}"
        failed = run.named("failed")
        if not failed:
            return SURVIVED if run.named("passed") else f"the tests did not run: {last_line(run.output)}"
        if len(failed) > self._config.most_failing * len(wanted):
            return "fails too many tests"
        return "" if run.named("passed") else "fails every test"

    def _instance(
        self,
        slot: Slot,
        bug: Bug,
        content: bytes,
        telling: dict[str, Outcome],
        passing: list[str],
        seconds: float,
    ) -> Instance | str:
        function, tree = slot.function, self._environment.tree
        failing = list(telling)
        before, after = (one.decode("utf-8", "surrogateescape") for one in (content, apply_bug(content, bug)))
        repo, seed = self._template.repo, self._config.seed
        gold, made = diff(function.path, after, before), diff(function.path, before, after)
        plain = diff_lines(function.path, *(readable(function.path, one) for one in (after, before)))
        text = write_issue(self._read_test, telling.values(), plain, repo, seed, held=True).text
        if not text:
            return "no text that gives nothing away"
        hidden = hide(tree, failing) if self._config.hide_tests else {}
        with_tests = {path: pair[0] for path, pair in hidden.items()}
        without = {path: pair[1] for path, pair in hidden.items()}
        name = content_id(self._template.tree, function.path, bug)[:8]
        return msgspec.structs.replace(
            self._template,
            instance_id=task_name(self._template.repo, name),
            problem_statement=text,
            patch=gold,
            test_patch=diff_all(without, with_tests),
            start_patch=made + diff_all(with_tests, without),
            fail_to_pass=msgspec.json.encode(failing).decode(),
            pass_to_pass=msgspec.json.encode(passing).decode(),
            kind=Kind.MUTANT,
            operator=bug.operator,
            path=function.path,
            function=function.name,
            module=unit_of(function, self._unit),
            changed=(unit_of(function, "function"),),
            test_command=test_command(self._environment, failing),
            seconds=round(seconds, 2),
        )

    def _read_test(self, path: str) -> str:
        return readable(path, read_within(self._environment.tree, path))

    async def _confirmed(self, instance: Instance) -> Instance | str:
        """The task with its starting tree made and tried: resolved by the gold patch, and not by none."""
        environment, config = self._environment, self._config
        layer = await asyncio.to_thread(make_start, environment, instance.start_patch, self._cache)
        instance = msgspec.structs.replace(
            instance,
            base_commit=layer.commit,
            start_commit=layer.commit,
            environment_setup_commit=instance.environment_setup_commit or layer.commit,
        )
        async with task_backend(environment, layer, config.sandbox) as backend:
            found = faults_of(instance, *await both(backend, environment, instance, config.mutant_seconds))
        if found:
            drop_start(environment, layer)
        return found[0] if found else instance


async def in_order(
    mutants: Mutants, backend: Backend, slots: Iterator[Slot], known: dict[str, Filled], workers: int
) -> AsyncGenerator[tuple[Filled, bool], None]:
    """Slots filled, in their order, `workers` at a time; with each, whether it was filled only now."""
    free = asyncio.Semaphore(workers)
    ahead: list[tuple[Slot, asyncio.Task[Filled] | None]] = []

    async def fill(slot: Slot) -> Filled:
        async with free:
            return await mutants.fill(backend, slot)

    def look_ahead() -> None:
        while len(ahead) < 2 * workers and (slot := next(slots, None)):
            ahead.append((slot, None if slot.id in known else asyncio.create_task(fill(slot))))

    try:
        look_ahead()
        while ahead:
            slot, task = ahead.pop(0)
            filled = known[slot.id] if task is None else await task
            look_ahead()
            yield filled, task is not None
    finally:
        left = [task for _, task in ahead if task]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
