"""What of all that a repository names its tests are likely to need: extras, groups, requirements files.

Judged by the names that projects give them. What is for documentation, style or releases is left alone.
"""

import re
from pathlib import Path

from sera.environments.config import EnvironmentConfig
from sera.environments.project import Project
from sera.environments.requirements import named, normal, read_file
from sera.environments.sources import Source
from sera.environments.suites import Suite
from sera.errors import UsageError
from sera.records import Record

_FOR_TESTS = re.compile(r"(.*[-_./])?(unit|py)?tests?(ing|s)?([-_.].*)?", re.I)
_FOR_WORK = re.compile(r"(.*[-_./])?(dev|develop|development|ci|all)([-_.].*)?", re.I)
_NOT_FOR_TESTS = re.compile(
    r"(.*[-_./])?(docs?|lint\w*|typing|mypy|bench\w*|release|build|style|format\w*|pre-?commit|min\w*|oldest)"
    r"([-_./].*)?",
    re.I,
)
_ALWAYS = frozenset({"tox", "setup", "nox"})


class Decision(Record, frozen=True):
    """One thing that was settled, and why."""

    what: str
    choice: str
    why: str


def for_tests(
    tree: Path, project: Project, suite: Suite, config: EnvironmentConfig
) -> tuple[tuple[str, ...], tuple[Source, ...], list[Decision]]:
    """Extras, and sources of requirements, that the tests are likely to need."""
    groups = [source for source in project.sources if source.kind in ("group", "hatch")]
    files = [source for source in project.sources if source.kind == "requirements"]
    others = [source for source in project.sources if source.kind in _ALWAYS]
    extras = _chosen(config.extras, [*project.extras], "environment.extras")
    chosen_groups = _chosen(config.groups, [source.name for source in groups], "environment.groups")
    if config.requirements is not None:
        refused: list[str] = []
        files = [_own_file(tree, path, refused) for path in config.requirements]
        chosen_files = list(config.requirements)
    else:
        chosen_files = _likely([source.name for source in files])
    nothing = not (extras or chosen_groups or chosen_files or others)
    if nothing and config.extras is None:
        extras = _likely([*project.extras], _FOR_WORK)
    if nothing and config.groups is None:
        chosen_groups = _likely([source.name for source in groups], _FOR_WORK)
    if nothing and config.requirements is None:
        chosen_files = _likely([source.name for source in files], _FOR_WORK)
    plain = [source for source in files if Path(source.name).name in ("requirements.txt", "requirements.in")]
    sources = [
        *(source for source in groups if source.name in chosen_groups),
        *(source for source in files if source.name in chosen_files),
        *others,
        *(source for source in plain if config.requirements is None and source.name not in chosen_files),
        *(source for source in project.sources if source.kind == "conda"),
        Source(kind="imports", name="imports of the tests", requirements=suite.imports),
    ]
    own = normal(project.name)
    kept = [_without(source, own) for source in sources]
    decisions = [_decided("extras", extras, config.extras), _decided("groups", chosen_groups, config.groups)]
    read = [one.name for one in kept if one.kind not in ("group", "hatch") and one.requirements]
    decisions.append(_decided("requirements", read, config.requirements))
    return tuple(extras), tuple(source for source in kept if source.requirements), decisions


def _decided(what: str, chosen: list[str], told: object) -> Decision:
    why = f"environment.{what} says so" if told is not None else "by their names, what tests need"
    return Decision(what=what, choice=", ".join(chosen) or "none", why=why)


def _chosen(told: tuple[str, ...] | None, known: list[str], key: str) -> list[str]:
    if told is None:
        return _likely(known)
    if missing := [name for name in told if name not in known]:
        raise UsageError(f"{key}: the project has no {missing[0]!r}; it has {', '.join(known) or 'none'}")
    return list(told)


def _likely(names: list[str], pattern: re.Pattern[str] = _FOR_TESTS) -> list[str]:
    return [
        name
        for name in dict.fromkeys(names)
        if pattern.fullmatch(name) and not _NOT_FOR_TESTS.fullmatch(name)
    ]


def _own_file(tree: Path, path: str, refused: list[str]) -> Source:
    if not (tree / path).is_file():
        raise UsageError(f"environment.requirements: there is no {path} in the repository")
    return Source(kind="requirements", name=path, requirements=tuple(read_file(tree, path, refused)))


def _without(source: Source, own: str) -> Source:
    """The source without the project itself, which is there already, as the working tree."""
    kept = tuple(line for line in source.requirements if named(line) != own)
    return Source(kind=source.kind, name=source.name, requirements=kept)
