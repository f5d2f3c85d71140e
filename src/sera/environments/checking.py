"""A new environment tried out in a real sandbox: imports, `pip list`, collection, and a sample of the
tests.

What is tried out is code of strangers, and so is what it answers: what cannot be read is a trouble like any
other.
"""

import posixpath
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from sera import untrusted
from sera.environments.building import PLACE, put_probe
from sera.environments.causes import UNKNOWN, find_cause
from sera.environments.commands import Log
from sera.environments.config import CheckConfig
from sera.environments.own_runners import OWN_RUNNERS, count_tests, read_failures, read_summary, sample
from sera.environments.records import Checked, Environment, Trouble
from sera.environments.suite_runs import TestRun, how_it_ended, run_tests
from sera.errors import SandboxLost
from sera.records import Record
from sera.sandboxes import CommandResult, Sandbox, SandboxConfig, make_backend

A = TypeVar("A")
_ANSWER = f"{PLACE}/answer.json"
_QUICK = 120.0
_MOST_TROUBLES = 12
_MOST_LOOKED_AT, _MOST_SAID = 100, 2000
"""Failures whose cause is looked for, and characters of each."""


class _Package(Record, frozen=True):
    """One of those that pip lists."""

    name: str
    version: str


class _Check:
    """One check, in one sandbox."""

    def __init__(self, box: Sandbox, environment: Environment, config: CheckConfig, log: Log) -> None:
        self._box = box
        self._environment = environment
        self._config = config
        self._log = log

    async def run(self, modules: tuple[str, ...]) -> Checked:
        """Everything, one after the other."""
        imports, troubles = await self._imports(modules)
        packages = await self._packages()
        try:
            checked = await self._tests()
        except OSError as problem:  # what ran before has spoilt the place, or filled it
            checked = Checked(troubles=(_trouble("tests", f"they cannot be begun: {problem}"),))
        every = _summed([*troubles, *((one.what, one) for one in checked.troubles)])
        return msgspec.structs.replace(checked, imports=imports, packages=packages, troubles=every)

    async def _imports(self, modules: tuple[str, ...]) -> tuple[dict[str, bool], list[tuple[str, Trouble]]]:
        probe = await put_probe(self._box, "imports.py")
        result = await self._execute(["python", probe, _ANSWER, *modules], self._config.seconds)
        found, problem = await self._answer(dict[str, tuple[str, str]])
        troubles = []
        works = {}
        for name in modules:
            nothing = ("", problem or result.output[-_MOST_SAID:] or "the interpreter ended")
            place, error = (found or {}).get(name, nothing)
            inside = place.startswith(self._box.workdir + "/")
            works[name] = inside
            if not inside:
                said = error or f"{name} is imported from {place or 'nowhere'}, not from the working tree"
                troubles.append((f"import {name}", _trouble(f"import {name}", said)))
        return works, troubles

    async def _packages(self) -> tuple[str, ...]:
        result = await self._execute(["python", "-m", "pip", "list", "--format=json"], _QUICK)
        if result.exit_code == 0:
            try:
                listed: list[_Package] = untrusted.decode(result.output.partition("\n")[0], list[_Package])
                return tuple(sorted(f"{one.name}=={one.version}" for one in listed))
            except msgspec.DecodeError as problem:
                self._log.write(f"what pip lists cannot be read: {problem}")
        places = self._environment.prefix.glob("lib/python3*/site-packages/*.dist-info")
        return tuple(sorted(place.stem.replace("-", "==", 1) for place in places))

    async def _tests(self) -> Checked:
        runner = self._environment.plan.suite.runner
        if runner == "none":
            return Checked()
        if runner in OWN_RUNNERS:
            return await self._by_itself(runner)
        run = await run_tests(
            self._box, self._environment, None, 2 * self._config.seconds, most=self._config.tests
        )
        self._log.write(f"[sandbox] {runner}\n{run.output}\n{run.incomplete}")
        return _checked(run)

    async def _by_itself(self, name: str) -> Checked:
        runner, tree = OWN_RUNNERS[name], self._environment.tree
        units = list(self._environment.plan.suite.paths) or sample(runner, tree)
        argv = [*runner.command, *self._environment.plan.test_options, *units]
        result = await self._execute(argv, 2 * self._config.seconds)
        counted, summary = count_tests(runner, tree), read_summary(result.output)
        if summary is None:
            trouble = _trouble(name, result.output)
            if trouble.cause == UNKNOWN and not result.timed_out:
                ended = f"its runner ended before it summed up ({how_it_ended(result)})"
                trouble = msgspec.structs.replace(trouble, cause=ended)
            return Checked(
                collected=counted, counted="source", timed_out=result.timed_out, troubles=(trouble,)
            )
        causes = [
            (what, _trouble(what, text)) for what, text in read_failures(result.output)[:_MOST_LOOKED_AT]
        ]
        return Checked(
            collected=counted,
            counted="source",
            passed=summary["passed"],
            failed=summary["failed"],
            skipped=summary["skipped"],
            troubles=_summed(causes),
        )

    async def _execute(
        self, argv: list[str], seconds: float, variables: dict[str, str] | None = None
    ) -> CommandResult:
        """Run a program in the working tree; what an earlier one answered is gone."""
        await self._box.execute(["rm", "-rf", _ANSWER], _QUICK)
        result = await self._box.execute(argv, seconds, variables)
        self._log.write(f"[sandbox] {' '.join(argv)}\n{result.output}\n[exit code {result.exit_code}]")
        return result

    async def _answer(self, kind: type[A]) -> tuple[A | None, str]:
        """What a probe wrote; None, with the reason unless it wrote nothing."""
        try:
            return untrusted.decode(await self._box.read(_ANSWER), kind), ""
        except FileNotFoundError:
            return None, ""
        except (OSError, msgspec.DecodeError) as problem:
            return None, f"what was answered cannot be read: {problem}"


async def check(
    environment: Environment, modules: tuple[str, ...], config: CheckConfig, sandbox: SandboxConfig, log: Log
) -> Checked:
    """Try the environment out. What does not work is a result, with its cause; `SandboxError` if there is
    no sandbox."""
    async with make_backend(environment.sandbox(sandbox), environment.layer) as backend:
        async with backend.sandbox() as box:
            try:
                return await _Check(box, environment, config, log).run(modules)
            except SandboxLost as problem:
                imports = dict.fromkeys(modules, False)
                return Checked(imports=imports, troubles=(_trouble("sandbox", str(problem)),))


def _checked(run: TestRun) -> Checked:
    """What a run of the sample says, its breaking off first."""
    failed = sorted(run.named("failed"))
    told = [*run.broken.items(), *((name, run.outcomes[name].said) for name in failed)]
    causes = [(name, _trouble(name, text[-_MOST_SAID:])) for name, text in told[:_MOST_LOOKED_AT]]
    ends = (_end(run),) if run.incomplete else ()
    return Checked(
        collected=run.collected,
        unreadable=len(run.broken),
        passed=len(run.named("passed")),
        failed=len(failed),
        skipped=len(run.named("skipped")),
        missing=run.missing,
        timed_out=not run.in_time,
        troubles=(*ends, *_summed(causes)),
    )


def _end(run: TestRun) -> Trouble:
    """Why a run of tests is not whole; what it printed may tell the cause if it came to no test."""
    said = find_cause(run.output, "sandbox")
    if run.collected is None and said.cause != UNKNOWN:
        return Trouble(what="tests", cause=said.cause, cure=said.cure, said=said.said)
    return Trouble(what=run.broke_off_in or "tests", cause=run.incomplete, cure=run.cure, said=said.said)


def _trouble(what: str, said: str) -> Trouble:
    cause = find_cause(said, "sandbox")
    return Trouble(
        what=posixpath.normpath(what[:_MOST_SAID]), cause=cause.cause, cure=cause.cure, said=cause.said
    )


def _summed(troubles: Iterable[tuple[str, Trouble]]) -> tuple[Trouble, ...]:
    """One for each cause, the most frequent first."""
    found: dict[str, Trouble] = {}
    for _, one in troubles:
        before = found.get(one.cause)
        found[one.cause] = (
            one if before is None else msgspec.structs.replace(before, times=before.times + one.times)
        )
    return tuple(sorted(found.values(), key=lambda one: -one.times))[:_MOST_TROUBLES]
