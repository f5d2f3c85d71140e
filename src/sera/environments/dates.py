"""Up to which day packages are taken: an old commit works with those of its time, often not with today's.

The project's dependencies are those of the commit's day. What runs and builds it (`TOOLS`) has to know the
Python that is used, which may be newer than the commit: so it is of that day too, but not before that Python
had been out for half a year.
"""

import datetime
from collections.abc import Iterable, Sequence

from sera.environments.requirements import named
from sera.environments.versions import Version
from sera.errors import UsageError
from sera.records import Record

NEWEST = "none"
"""The setting for no date at all."""
_RECENT = datetime.timedelta(days=28)
"""A commit of the last weeks takes the newest packages."""
_TOMORROW = datetime.timedelta(days=1)
"""Clocks of two machines differ by less."""
_SETTLED = datetime.timedelta(days=180)
"""After a Python came out, until tools and wheels were there for it."""
TOOLS = frozenset({
    "pytest", "pluggy", "iniconfig", "packaging", "pyparsing", "tomli", "toml", "exceptiongroup",
    "colorama", "py", "attrs", "atomicwrites", "more-itertools", "wcwidth", "six", "importlib-metadata",
    "zipp", "typing-extensions", "pathlib2", "funcsigs", "pygments", "setuptools", "wheel", "coverage",
    "hypothesis", "sortedcontainers", "mock",
})  # fmt: skip
"""Packages that are dated as tools, with what pytest needs itself; those named `pytest-…` are too."""
_NEVER_DATED = ("pip", "pynose")
"""For nothing but listing packages, and a stand-in for one that is no longer kept up."""
_EVER = "2100-01-01"


class Dates(Record, frozen=True):
    """One answer to the question."""

    dependencies: str = ""
    """Day (UTC) up to which dependencies are taken; empty: the newest."""
    tools: str = ""
    why: str = ""


def choose_dates(
    wanted: str, tools: str, committed: str, python: Version, datable: bool, now: datetime.datetime
) -> list[Dates]:
    """The days for a commit, to be tried in this order until an environment is usable.

    `wanted` and `tools` are the user's word: a date, `none`, or empty for what the day of the commit demands;
    `committed` is that moment, if known. `datable` says whether the installer can do it.
    """
    ready = _release(python) + _SETTLED
    if wanted and wanted != NEWEST:
        day = read_date(wanted, "environment.exclude_newer")
        return [Dates(wanted, _tools(tools, max(day, ready), now), "environment.exclude_newer says so")]
    newest = Dates("", _tools(tools, now, now), "the newest")
    if wanted == NEWEST:
        return [_because(newest, "environment.exclude_newer says so")]
    if not committed:
        return [_because(newest, "the day of the commit is not known")]
    day = read_date(committed, "the date of the commit")
    if day > now + _TOMORROW:
        return [_because(newest, f"the commit is of {_text(day)}, which is yet to come")]
    if now - day < _RECENT:
        return [_because(newest, f"the commit is of {_text(day)}, some weeks ago at most")]
    if not datable:
        return [_because(newest, f"the commit is of {_text(day)}, and only uv can take packages of then")]
    found = [Dates(_text(day), _tools(tools, max(day, ready), now), "the day of the commit")]
    if day < ready < now:
        why = f"half a year after Python {python[0]}.{python[1]}, which is newer than the commit"
        found.append(Dates(_text(ready), _tools(tools, ready, now), why))
    return [*found, _because(newest, "those of earlier days do not do")]


def read_date(said: str, what: str) -> datetime.datetime:
    """A day or a moment as ISO 8601 writes it; `UsageError` for another text."""
    try:
        moment = datetime.datetime.fromisoformat(said)
    except ValueError:
        raise UsageError(f"{what} is {said[:100]!r}: give a day such as 2024-06-01") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def options(dependencies: str, tools: str, requirements: Iterable[str]) -> Sequence[str]:
    """What uv is told. `requirements` are lines that may name further tools."""
    if not (dependencies or tools):
        return []
    plugins = {name for name in map(named, requirements) if name.startswith("pytest-")}
    later = dict.fromkeys(sorted(TOOLS | plugins), tools or _EVER) | dict.fromkeys(_NEVER_DATED, _EVER)
    words = ["--exclude-newer", dependencies] if dependencies else []
    for name, day in later.items():
        words += ["--exclude-newer-package", f"{name}={day}"]
    return words


def was_out(python: Version, committed: str) -> bool:
    """Whether a Python had come out when a commit was made."""
    return _release(python) <= read_date(committed, "the date of the commit")


def _because(dates: Dates, why: str) -> Dates:
    return Dates(dates.dependencies, dates.tools, why)


def _release(python: Version) -> datetime.datetime:
    """When a minor version of Python came out: since 3.8 in October of each year (PEP 602)."""
    return datetime.datetime(2011 + python[1], 10, 7, tzinfo=datetime.UTC)


def _tools(said: str, day: datetime.datetime, now: datetime.datetime) -> str:
    """The user's word, or the day; empty if that is no limit."""
    if said:
        return "" if said == NEWEST else _text(read_date(said, "environment.exclude_newer_tools"))
    return "" if day >= now else _text(day)


def _text(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).date().isoformat()
