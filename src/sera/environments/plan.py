"""From what a repository says of itself, and what the user says, to how its environment is made."""

import datetime
import hashlib
from typing import Any

import msgspec

from sera.environments.config import EnvironmentConfig
from sera.environments.dates import Dates, choose_dates
from sera.environments.installers import can_date
from sera.environments.interpreters import Interpreter, choose_interpreter
from sera.environments.needs import Decision, for_tests
from sera.environments.project import Project, read_project
from sera.environments.requirements import named, normal
from sera.environments.sources import Source
from sera.environments.suites import Suite, read_suite
from sera.records import Record
from sera.redaction.addresses import shown
from sera.repositories import Snapshot

_RUNNER_NEEDS = {"pytest": ("pytest",), "nose": ("pynose",)}
_BARE_VENV = (3, 12)
"""The first Python whose virtual environments come without setuptools, which older projects count on."""
NO_VERSION = "0.0.0"
"""Of a project that says none that can be read."""


class Plan(Record, frozen=True):
    """How the environment of one snapshot is made. Whatever changes it, changes what is built."""

    name: str
    version: str
    interpreter: Interpreter
    build: bool
    """Whether the project's own build is run."""
    backend: str
    backend_path: tuple[str, ...]
    build_requires: tuple[str, ...]
    before_build: tuple[str, ...]
    dependencies: tuple[str, ...]
    """Used only where there is no build, or it fails."""
    declared_extras: dict[str, tuple[str, ...]]
    """The same, by extra."""
    extras: tuple[str, ...]
    sources: tuple[Source, ...]
    """Requirements for the tests, in the order in which they are tried."""
    packages: tuple[str, ...]
    """What must be there: the test runner, pip, and what the user named."""
    constraints: tuple[str, ...]
    import_names: tuple[str, ...] | None
    suite: Suite
    test_options: tuple[str, ...]
    index: str
    exclude_newer: str
    build_dependencies: bool
    workdir: str
    files: dict[str, str]
    """Dependency files of the repository → SHA-256 of the content."""
    refused: tuple[str, ...]
    """Lines that were left out, as they are no plain requirement."""
    decisions: tuple[Decision, ...]
    build_packages: tuple[str, ...] = ()
    """What the user says that the build needs, too."""
    tools_newer: str = ""
    """Day up to which tools are taken; `exclude_newer` is that of dependencies."""
    dates: tuple[Dates, ...] = ()
    """Days that are tried, the first ones first, until something usable comes of one; the plan is of one."""

    @property
    def test_command(self) -> tuple[str, ...]:
        """How a person runs the whole suite in the working tree."""
        match self.suite.runner:
            case "pytest":
                return ("python", "-m", "pytest", *self.test_options, *self.suite.paths)
            case "unittest":
                start = self.suite.paths[0] if self.suite.paths else "."
                return ("python", "-m", "unittest", "discover", "-s", start, *self.test_options)
            case "nose":
                return ("python", "-m", "nose", *self.test_options, *self.suite.paths)
            case "django":
                return ("python", "tests/runtests.py", *self.test_options, *self.suite.paths)
            case "sympy":
                return ("python", "-c", "import sympy; sympy.test()")
        return ()


def make_plan(snapshot: Snapshot, config: EnvironmentConfig, workdir: str, version: str = "") -> Plan:
    """The plan for a snapshot. `version` is what the repository's tags say, used where nothing else says it.

    Raises `PrepareError` when no interpreter fits, `UsageError` for a choice that the repository does not
    have.
    """
    tree = snapshot.tree
    project = read_project(tree)
    suite = read_suite(tree, project, config.runner, config.tests)
    specifier = project.requires_python
    interpreter, why = choose_interpreter(
        config.python, specifier, project.versions, project.preferred, snapshot.committed
    )
    dates = choose_dates(
        config.exclude_newer,
        config.exclude_newer_tools,
        snapshot.committed,
        interpreter.release,
        can_date(),
        datetime.datetime.now(datetime.UTC),
    )
    extras, sources, decisions = for_tests(tree, project, suite, config)
    built_as = config.version or project.version or version or NO_VERSION
    build = config.build and project.buildable
    runner = _RUNNER_NEEDS.get(suite.runner, ())
    decisions = [
        Decision(what="python", choice=interpreter.version, why=why),
        Decision(
            what="build", choice=_builder(project) if build else "none", why=_why_built(project, config)
        ),
        *decisions,
        Decision(what="tests", choice=suite.runner, why=suite.reason),
    ]
    locked = project.locked if config.locks else ()
    if locked:
        decisions.append(
            Decision(what="versions", choice=f"{len(locked)} pinned", why=f"{project.lock} locks them")
        )
    plan = Plan(
        name=project.name or snapshot.name,
        version=built_as,
        interpreter=interpreter,
        build=build,
        backend=project.backend,
        backend_path=project.backend_path,
        build_requires=project.build_requires,
        build_packages=config.build_packages,
        before_build=config.before_build,
        dependencies=project.dependencies,
        declared_extras=dict(project.extras),
        extras=extras,
        sources=sources,
        packages=tuple(
            one for one in (*runner, "pip", *config.packages) if named(one) != normal(project.name)
        ),
        constraints=tuple(pin for pin in locked if named(pin) != normal(project.name)),
        import_names=config.import_names,
        suite=suite,
        test_options=config.test_options,
        index=config.index,
        build_dependencies=config.build_dependencies,
        workdir=workdir,
        exclude_newer="",
        dates=tuple(dates),
        files={path: hashlib.sha256((tree / path).read_bytes()).hexdigest() for path in project.files},
        refused=tuple(map(shown, project.refused)),
        decisions=tuple(decisions),
    )
    return as_of(plan, dates[0])


def as_of(plan: Plan, dates: Dates) -> Plan:
    """The plan with packages of other days."""
    tools = f", tools {dates.tools or 'the newest'}" if dates.tools != dates.dependencies else ""
    choice = f"as of {dates.dependencies}{tools}" if dates.dependencies else "the newest"
    others = [one for one in plan.decisions if one.what != "packages"]
    sources = [one for one in plan.sources if one.kind != "venv"]
    if dates.dependencies and plan.interpreter.release < _BARE_VENV:
        sources.append(Source(kind="venv", name="virtual environments of then", requirements=("setuptools",)))
    return msgspec.structs.replace(
        plan,
        sources=tuple(sources),
        exclude_newer=dates.dependencies,
        tools_newer=dates.tools,
        decisions=(*others, Decision(what="packages", choice=choice, why=dates.why)),
    )


def _builder(project: Project) -> str:
    return project.backend or "setuptools"


def _why_built(project: Project, config: EnvironmentConfig) -> str:
    if not config.build:
        return "environment.build is false"
    if not project.buildable:
        return "there is no pyproject.toml, setup.py or setup.cfg that a build could start from"
    return "pyproject.toml names it" if project.backend else "there is a setup.py, and no backend named"


def to_key(plan: Plan) -> dict[str, Any]:
    """What of a plan decides the environment: all but the reasons, and the index, whose address may hold a
    login: `indexes.identity` tells of it."""
    facts: dict[str, Any] = msgspec.to_builtins(plan, enc_hook=str)
    del facts["decisions"], facts["refused"], facts["index"]
    return facts
