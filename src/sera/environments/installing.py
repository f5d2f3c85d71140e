"""The virtual environment of a project: what it needs and what its tests need, tried together, then less.

Everything that tests may want is asked for at once; if that cannot be had together, one source of
requirements after the other is added as long as the whole can be had, and what is dropped is named, with
its cause.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name

from sera.environments import indexes, store
from sera.environments.causes import Cause, find_cause
from sera.environments.commands import CommandFailed, Log
from sera.environments.copies import link, replace_copies
from sera.environments.installers import Installer, Wanted, compile_all, find_installer
from sera.environments.interpreters import Interpreter
from sera.environments.mapping import Built
from sera.environments.plan import Plan
from sera.environments.standin import contents, write_standin
from sera.errors import PrepareError
from sera.records import Record, content_id

BUILDER = 4
"""Grows whenever the same inputs would give another environment."""
_MARKER = "installed.json"
_MOST_NAMED, _MOST_SHOWN = 20, 300
_MOST_TRIED = 300
"""Times that an installer is asked what can be had."""


class Installed(Record, frozen=True):
    """A virtual environment in the cache."""

    key: str
    prefix: Path
    warnings: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def install_tools(plan: Plan, requirements: tuple[str, ...], cache: Path | None) -> Installed:
    """An environment with what a build needs."""
    wanted = Wanted(
        requirements=requirements,
        own=plan.build_packages,
        index=plan.index,
        exclude_newer=plan.tools_newer,
        tools_newer=plan.tools_newer,
        build_dependencies=plan.build_dependencies,
    )
    key = content_id(
        "tools", BUILDER, find_installer().name, plan.interpreter.identity, sorted(requirements),
        plan.build_packages, indexes.identity(plan.index), plan.tools_newer, plan.build_dependencies,
    )  # fmt: skip

    def make(place: Path, log: Log) -> Installed:
        installer, prefix = _created(place, plan.interpreter, log)
        try:
            installer.install(prefix, wanted, log)
        except CommandFailed as failure:
            raise PrepareError(
                f"what the project's build needs cannot be installed: {_cause(failure.output)} "
                f"(see {log.path})"
            ) from failure
        return Installed(key=key, prefix=prefix)

    return _kept(key, cache, make)


def install_project(plan: Plan, built: Built, cache: Path | None) -> Installed:
    """The environment that rollouts use: the project linked, its dependencies, and what its tests need."""
    key = content_id(
        "project", BUILDER, find_installer().name, plan.interpreter.identity, plan.files, plan.extras,
        plan.sources, plan.packages, plan.constraints, indexes.identity(plan.index), plan.exclude_newer,
        plan.tools_newer, plan.build_dependencies,
        contents(built, plan.workdir), plan.workdir, built.links, built.modules,
    )  # fmt: skip
    return _kept(key, cache, lambda place, log: _install_project(plan, built, key, place, log))


def _install_project(plan: Plan, built: Built, key: str, place: Path, log: Log) -> Installed:
    installer, prefix = _created(place, plan.interpreter, log)
    standin, refused = write_standin(built, place, plan.workdir)
    wanted, dropped = _Choice(installer, prefix, plan, standin, log).make()
    try:
        installer.install(prefix, wanted, log)
    except CommandFailed as failure:
        raise PrepareError(
            f"the dependencies cannot be installed: {_cause(failure.output)} (see {log.path})"
        ) from failure
    warnings = replace_copies(prefix, built.places(plan.workdir))
    warnings += link(prefix, {name: f"{plan.workdir}/{folder}" for name, folder in built.links.items()})
    compile_all(prefix, plan.interpreter, log)
    warnings += left_out(refused)
    return Installed(key=key, prefix=prefix, warnings=tuple(warnings), dropped=tuple(dropped))


def left_out(lines: Iterable[str]) -> list[str]:
    """What of a repository's requirements no installer is told, a sentence each; of very many, the first."""
    named = [one[:_MOST_SHOWN] for one in dict.fromkeys(lines)]
    rest = [f"left out in the same way: {len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
    return [f"left out, as it is no plain requirement of a package of the index: {one}"
            for one in named[:_MOST_NAMED]] + rest  # fmt: skip


class _Choice:
    """Finding the largest part of what is wanted that can be had together."""

    def __init__(self, installer: Installer, prefix: Path, plan: Plan, standin: Path, log: Log) -> None:
        self._installer = installer
        self._prefix = prefix
        self._plan = plan
        self._standin = standin
        self._log = log
        self._tries = 0

    def make(self) -> tuple[Wanted, list[str]]:
        """What to install, and a sentence for each thing dropped. `PrepareError` if not even the project
        can be."""
        plan = self._plan
        everything = self._wanted(
            plan.extras, [line for source in plan.sources for line in source.requirements]
        )
        failure = self._tried(everything)
        if not failure:
            return everything, []
        dropped = []
        if plan.constraints:
            everything = msgspec.structs.replace(everything, constraints=())
            dropped.append(f"the locked versions: {_cause(failure)}")
            if not (failure := self._tried(everything)):
                return everything, dropped
        return self._by_and_by(dropped)

    def _by_and_by(self, dropped: list[str]) -> tuple[Wanted, list[str]]:
        core = self._wanted((), [])
        if failure := self._tried(core):
            raise PrepareError(
                f"the project's dependencies cannot be installed: {_cause(failure)} (see {self._log.path})"
            )
        extras: list[str] = []
        lines: list[str] = []
        for extra, why in self._largest(self._plan.extras, extras, lambda found: self._wanted(found, lines)):
            dropped.append(f"extra {extra}: {why}")
        for source in self._plan.sources:
            for line, why in self._largest(
                source.requirements, lines, lambda found: self._wanted(extras, found)
            ):
                dropped.append(f"{line} ({source.name}): {why}")
        return self._wanted(extras, lines), dropped

    def _largest(
        self, more: tuple[str, ...], found: list[str], wanted: Callable[[list[str]], Wanted]
    ) -> Iterator[tuple[str, object]]:
        """Add to `found` what of `more` can be had with it, in its order, by halves: few can be had in few
        tries. What cannot, with the cause; once very much was tried, the rest goes untried."""
        waiting = [more] if more else []
        while waiting:
            part = waiting.pop()
            if self._tries >= _MOST_TRIED:
                yield part[0], f"not tried, and {len(part) - 1} more, as too much before it cannot be had"
            elif not (failure := self._tried(wanted([*found, *part]))):
                found += part
            elif len(part) == 1:
                yield part[0], _cause(failure)
            else:
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]

    def _wanted(self, extras: tuple[str, ...] | list[str], lines: list[str]) -> Wanted:
        plan = self._plan
        wanted = f"[{','.join(map(canonicalize_name, extras))}]" if extras else ""
        name = self._standin.name.partition("-")[0]
        project = f"{name}{wanted} @ {self._standin.as_uri()}"
        return Wanted(
            requirements=tuple(dict.fromkeys(lines)),
            own=(project, *dict.fromkeys(plan.packages)),
            constraints=plan.constraints,
            index=plan.index,
            exclude_newer=plan.exclude_newer,
            tools_newer=plan.tools_newer,
            build_dependencies=plan.build_dependencies,
        )

    def _tried(self, wanted: Wanted) -> str:
        """Empty if it can be had, else what the installer said."""
        self._tries += 1
        try:
            self._installer.resolve(self._prefix, wanted, self._log)
        except CommandFailed as failure:
            return failure.output or "it said nothing"
        return ""


def _cause(said: str) -> Cause:
    return find_cause(said, "installer")


def _created(place: Path, interpreter: Interpreter, log: Log) -> tuple[Installer, Path]:
    installer, prefix = find_installer(), place / "prefix"
    try:
        installer.create(prefix, interpreter, log)
    except CommandFailed as failure:
        raise PrepareError(
            f"no virtual environment can be made of {interpreter.path}: {failure}"
        ) from failure
    return installer, prefix


def _kept(key: str, cache: Path | None, make: Callable[[Path, Log], Installed]) -> Installed:
    """The environment of that key: as it is in the cache, or made now."""
    place = store.place_of(cache, "environments", key)
    with store.locked(place):
        found = store.read(place, _MARKER, Installed)
        if found and (found.prefix / "bin" / "python").exists():
            return found
        with store.building(place):
            installed = make(place, Log(store.log_of(place)))
            store.write(place, _MARKER, installed)
    return installed
