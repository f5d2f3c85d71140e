"""A new environment tried out in a real sandbox: imports, `pip list`, collection, and a sample of the
tests.

What is tried out is code of strangers, and so is what it answers: what cannot be read is a trouble like any
other.
"""

import posixpath
from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec

from sera import untrusted
from sera.environments.building import PLACE, put_probe
from sera.environments.causes import find_cause
from sera.environments.commands import Log
from sera.environments.config import CheckConfig
from sera.environments.own_runners import OWN_RUNNERS, count_tests, read_failures, read_summary, sample
from sera.environments.records import Checked, Environment, Trouble
from sera.errors import SandboxLost
from sera.records import Record
from sera.sandboxes import CommandResult, Sandbox, SandboxConfig, make_backend

A = TypeVar("A")
_ANSWER = f"{PLACE}/answer.json"
_QUICK = 120.0
_USAGE_ERROR = 4
_MOST_TROUBLES = 12
_MOST_LOOKED_AT, _MOST_SAID = 100, 2000
"""Failures whose cause is looked for, and characters of each."""
_Tests = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]


class _Probed(Record, frozen=True):
    """What a probe writes about a run of tests."""

    collected: _Tests
    broken: list[tuple[str, str]]
    passed: _Tests
    failed: _Tests
    skipped: _Tests
    failures: list[tuple[str, str]]


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
        await put_probe(self._box, "counts.py")
        argv, variables = await self._probe(runner)
        result = await self._execute(argv, 2 * self._config.seconds, variables)
        if runner == "pytest" and result.exit_code == _USAGE_ERROR:  # options that need a plugin we have not
            argv = [*argv, "-o", "addopts="]
            result = await self._execute(argv, 2 * self._config.seconds, variables)
        probed, problem = await self._answer(_Probed)
        if probed is None:
            said = problem or result.output
            return Checked(timed_out=result.timed_out, troubles=(_trouble("tests", said),))
        told = [*probed.broken, *probed.failures][:_MOST_LOOKED_AT]
        causes = [(name, _trouble(name, text[-_MOST_SAID:])) for name, text in told]
        return Checked(
            collected=probed.collected,
            unreadable=len(probed.broken),
            passed=probed.passed,
            failed=probed.failed,
            skipped=probed.skipped,
            timed_out=result.timed_out,
            troubles=_summed(causes),
        )

    async def _probe(self, runner: str) -> tuple[list[str], dict[str, str]]:
        plan, most = self._environment.plan, str(self._config.tests)
        if runner == "unittest":
            await put_probe(self._box, "sera_discovery.py")
            probe = await put_probe(self._box, "unittest_run.py")
            return ["python", probe, _ANSWER, most, plan.suite.paths[0] if plan.suite.paths else "."], {}
        await put_probe(self._box, "sera_pytest_probe.py")
        options = ["-q", "-p", "sera_pytest_probe", "-o", f"cache_dir={PLACE}/cache", "--tb=short"]
        options.append("--continue-on-collection-errors")
        names = {package.name for package in self._environment.prefix.glob("lib/python3*/site-packages/*")}
        options += ["-n0"] if "xdist" in names else []
        options += ["--no-cov"] if "pytest_cov" in names else []
        variables = {"SERA_PROBE": _ANSWER, "SERA_PROBE_TESTS": most, "PYTHONPATH": PLACE}
        return ["python", "-m", "pytest", *options, *plan.test_options, *plan.suite.paths], variables

    async def _by_itself(self, name: str) -> Checked:
        runner, tree = OWN_RUNNERS[name], self._environment.tree
        units = list(self._environment.plan.suite.paths) or sample(runner, tree)
        argv = [*runner.command, *self._environment.plan.test_options, *units]
        result = await self._execute(argv, 2 * self._config.seconds)
        counted, summary = count_tests(runner, tree), read_summary(result.output)
        if summary is None:
            trouble = _trouble(name, result.output)
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
