"""From a snapshot to an environment that has been tried out, found in the cache or made now.

snapshot ─► plan ─► build in a sandbox ─► stand-in, dependencies ─► tree with what was made ─► check
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sera.environments import indexes, store
from sera.environments.building import BuildFailed, build
from sera.environments.causes import find_cause
from sera.environments.checking import check
from sera.environments.commands import Log
from sera.environments.config import PrepareConfig
from sera.environments.copies import hidden_places
from sera.environments.installers import find_installer
from sera.environments.installing import BUILDER, install_project, install_tools, left_out
from sera.environments.layers import make_layer
from sera.environments.mapping import Built, read_wheel
from sera.environments.plan import NO_VERSION, Plan, as_of, make_plan, to_key
from sera.environments.records import Environment
from sera.environments.requirements import plain
from sera.environments.standin import unbuilt
from sera.errors import PrepareError
from sera.records import content_id
from sera.redaction.addresses import shown
from sera.repositories import Snapshot
from sera.settings import to_tree
from sera.untrusted import remove

_OLD_SETUPTOOLS = "setuptools<72"
"""The last that has `pkg_resources` and `setup.py test`: for builds of the old way that fail with the
newest."""
_ASKED = "the build asks for it"
_UNKNOWN_VERSION = (
    f"no tag and no file tells the project's version, so it is {NO_VERSION}, and packages that need a later "
    "one cannot be had: set environment.version"
)
_ROUNDS = 3
"""Times a build may ask for more."""
_NOT_IDENTITY = ("limits", "cgroups", "require", "share_layer", "products", "pull", "transfer")
"""Settings of the sandbox that bound what is made in it, or how it is reached, and change nothing of it."""

Told = Callable[[str], None]


def prepare(
    snapshot: Snapshot,
    config: PrepareConfig,
    cache: Path | None = None,
    version: str = "",
    told: Told = lambda _: None,
) -> Environment:
    """The environment of a snapshot. `told` is called with each step; `version` is what the tags say.

    Raises `PrepareError` if there can be none, and `SandboxError` if this machine gives no sandbox. An
    environment whose tests fail is one: `Environment.checked` says what works.
    """
    plan, place = _place(snapshot, config, cache, version)
    with store.locked(place):
        found = store.read(place, store.RECORD, Environment)
        if found and store.is_there(found):
            (place / store.RECORD).touch()
            return found
        with store.building(place):
            log = Log(store.log_of(place))
            environment = _first_usable(snapshot, config, cache, plan, log, told, place)
            store.write(place, store.RECORD, environment)
    return environment


def _first_usable(
    snapshot: Snapshot,
    config: PrepareConfig,
    cache: Path | None,
    plan: Plan,
    log: Log,
    told: Told,
    place: Path,
) -> Environment:
    """The environment with packages of the first of the plan's days of which something usable comes, else
    of the last; with the reason why no earlier one does."""
    reasons: list[str] = []
    for dates in plan.dates[:-1]:
        work = _Preparation(snapshot, config, cache, as_of(plan, dates), log, told)
        try:
            environment = asyncio.run(work.run(place, reasons))
            if environment.works:
                return environment
            why = environment.why_not
        except PrepareError as failure:
            why = str(failure)
        reasons.append(f"packages as of {dates.dependencies} ({dates.why}) do not work: {why}")
        told(reasons[-1])
        remove(place / "tree")
    work = _Preparation(snapshot, config, cache, as_of(plan, plan.dates[-1]), log, told)
    try:
        return asyncio.run(work.run(place, reasons))
    except PrepareError as failure:
        raise PrepareError("; ".join([*reasons, str(failure)])) from failure


def try_again(
    snapshot: Snapshot,
    config: PrepareConfig,
    cache: Path | None = None,
    version: str = "",
    told: Told = lambda _: None,
) -> Environment:
    """The environment of a snapshot as it was prepared, tried out anew; `PrepareError` if it was not
    prepared."""
    _, place = _place(snapshot, config, cache, version)
    found = store.read(place, store.RECORD, Environment)
    if found is None or not store.is_there(found):
        raise PrepareError(
            f"no environment of {snapshot.source} is prepared: run sera prepare without --check"
        )
    told("trying it out in a sandbox")
    modules = tuple(found.checked.imports)
    checked = asyncio.run(check(found, modules, config.check, config.sandbox, Log(found.log)))
    return msgspec.structs.replace(found, checked=checked)


def _place(snapshot: Snapshot, config: PrepareConfig, cache: Path | None, version: str) -> tuple[Plan, Path]:
    """The plan for a snapshot, and where in the cache what it gives belongs."""
    plan = make_plan(snapshot, config.environment, config.sandbox.workdir, version)
    places, installer = indexes.identity(plan.index), find_installer().name
    sandbox = {name: value for name, value in to_tree(config.sandbox).items() if name not in _NOT_IDENTITY}
    key = content_id(
        "prepared", BUILDER, snapshot.tree_hash, to_key(plan), config.check, places, installer, sandbox
    )
    return plan, store.place_of(cache, "prepared", snapshot.tree_hash, key)


class _Preparation:
    """One preparation, from the plan on."""

    def __init__(
        self, snapshot: Snapshot, config: PrepareConfig, cache: Path | None, plan: Plan, log: Log, told: Told
    ) -> None:
        self._snapshot = snapshot
        self._config = config
        self._cache = cache
        self._plan = plan
        self._log = log
        self._told = told
        self._seconds: dict[str, float] = {}
        self._warnings: list[str] = []

    async def run(self, place: Path, warnings: Iterable[str]) -> Environment:
        """All steps. `warnings` are of what was tried before."""
        self._warnings += warnings
        plan = self._plan
        with self._timed(
            "build", "building the project in a sandbox" if plan.build else "reading the project"
        ):
            built, made, whole = await self._built()
        with self._timed("install", "installing dependencies"):
            installed = install_project(plan, built, self._cache)
        self._warnings += [f"dropped {what}" for what in installed.dropped] + list(installed.warnings)
        self._warnings += left_out(plan.refused)
        if built.version in ("", NO_VERSION) and plan.version == NO_VERSION:
            self._warnings.append(_UNKNOWN_VERSION)
        kept = make_layer(self._snapshot.layer, made, place / "tree")
        interpreter = plan.interpreter
        environment = Environment(
            key=place.name,
            tree_hash=self._snapshot.tree_hash,
            commit=self._snapshot.commit,
            tree=place / "tree",
            prefix=installed.prefix,
            workdir=plan.workdir,
            mounts=(installed.prefix, *_outside_of_system(interpreter.prefix)),
            hidden=hidden_places(interpreter),
            name=built.name or plan.name,
            version=built.version,
            source=self._snapshot.source,
            origin_commit=self._snapshot.origin_commit,
            dirty=self._snapshot.dirty,
            plan=msgspec.structs.replace(plan, index=shown(plan.index)),
            built=whole,
            made=kept,
            warnings=tuple(map(shown, self._warnings)),
            log=self._log.path,
        )
        with self._timed("check", "trying it out in a sandbox"):
            modules = plan.import_names or _importable(built)
            checked = await check(environment, modules, self._config.check, self._config.sandbox, self._log)
        return msgspec.structs.replace(environment, checked=checked, seconds=self._seconds)

    async def _built(self) -> tuple[Built, dict[str, bytes], bool]:
        """What a build would install, the files that it made, and whether it ran through."""
        plan = self._plan
        if not plan.build:
            return unbuilt(plan, self._snapshot.tree), {}, False
        try:
            return await self._with_its_needs(plan.build_requires)
        except PrepareError as failure:
            if plan.backend and "pkg_resources" not in str(failure):
                return self._without_build(failure)
            try:
                return await self._with_its_needs((*plan.build_requires, _OLD_SETUPTOOLS))
            except PrepareError:
                return self._without_build(failure)

    def _without_build(self, failure: PrepareError) -> tuple[Built, dict[str, bytes], bool]:
        said = failure.output if isinstance(failure, BuildFailed) else str(failure)
        cause = find_cause(said, "sandbox")
        self._warnings.append(
            f"the project's build failed, so it is linked as it lies in the tree: {cause} [{cause.said}]"
        )
        return unbuilt(self._plan, self._snapshot.tree), {}, False

    async def _with_its_needs(self, requires: tuple[str, ...]) -> tuple[Built, dict[str, bytes], bool]:
        """Build; install what the backend asks for on the way, and build again."""
        refused: list[str] = []
        for _ in range(_ROUNDS):
            tools = install_tools(self._plan, tuple(plain(requires, _ASKED, refused)), self._cache)
            config = msgspec.structs.replace(self._config.sandbox, python=tools.prefix)
            product = await build(self._snapshot.layer, self._plan, config, requires, self._log)
            if product.wheel:
                built, made = read_wheel(product.wheel, self._snapshot.tree)
                self._warnings += left_out(refused)
                return self._with_modules(built), product.extra | made, True
            requires = (*requires, *product.requires)
        raise PrepareError(f"the project's build asks for ever more packages: {', '.join(requires)[:1000]}")

    def _with_modules(self, built: Built) -> Built:
        """Of a build that installs no module, as if setup.cfg names one that is gone: those of the tree."""
        lying = unbuilt(self._plan, self._snapshot.tree)
        if built.modules or not lying.modules:
            return built
        self._warnings.append(
            "the project's build installs none of its modules, so they are linked as they lie in the tree: "
            + ", ".join(sorted(lying.modules)[:10])
        )
        return msgspec.structs.replace(built, roots=lying.roots, modules=lying.modules)

    @contextmanager
    def _timed(self, step: str, text: str) -> Iterator[None]:
        self._told(text)
        started = time.monotonic()
        yield
        self._seconds[step] = round(time.monotonic() - started, 2)


def _importable(built: Built) -> tuple[str, ...]:
    """What has to be importable: private modules are the project's own affair."""
    public = tuple(
        name
        for name in built.modules
        if not name.startswith(("_", "test_")) and name not in ("tests", "test")
    )
    return public or tuple(built.modules)


def _outside_of_system(prefix: Path) -> tuple[Path, ...]:
    return () if prefix == Path("/usr") else (prefix,)
