"""What is known beforehand, as the basis of a forecast that is made before anything was tried: of a model
what others have reported, of the rehearsal teacher what we have measured.

The figures stand in `published.toml` and `rehearsal.toml` with their sources. Their intervals are not
statistical: one repository differs from the mean of many in a way that more tasks do not average out.
"""

import tomllib
from importlib.resources import files

import msgspec

from sera.analysis.basis import Spent, Use
from sera.analysis.interval import Interval
from sera.settings import Config

Triple = tuple[float, float, float]


class _Question(Config, frozen=True):
    calls: int
    cached: int
    fresh: int
    output: int


class _Work(_Question, frozen=True):
    source: str
    margin: Triple
    trajectories: Triple
    question: _Question
    questions: int


class _Time(Config, frozen=True):
    source: str
    seconds: Triple


class _Disk(Config, frozen=True):
    source: str
    token: float
    envelope: float


class _Yield(Config, frozen=True):
    source: str
    submitted: Triple


class _Table(Config, frozen=True):
    work: _Work
    time: _Time
    disk: _Disk
    yields: _Yield = msgspec.field(name="yield")


class Published:
    """A task at its least, likeliest and most."""

    done: tuple[Spent, ...] = ()

    def __init__(self, table: _Table) -> None:
        self._table = table
        self._low, self._likely, self._high = (_spent(table, n) for n in range(3))

    def total(self, use: Use, tasks: int) -> Interval:
        """So many times one task."""
        return Interval(
            low=tasks * use(self._low), likely=tasks * use(self._likely), high=tasks * use(self._high)
        )

    def longest(self, use: Use) -> float:
        """Of the task at its most."""
        return use(self._high)

    def pairs(self, threshold: float, tasks: int) -> tuple[Interval, Interval]:
        """Known for the threshold 0 alone; above it, only that there are no more."""
        low, likely, high = self._table.yields.submitted
        found = (
            Interval(low=0.0, likely=None, high=high)
            if threshold
            else Interval(low=low, likely=likely, high=high)
        )
        middle = None if found.likely is None else tasks * found.likely
        return found, Interval(low=tasks * found.low, likely=middle, high=tasks * found.high)

    def source(self, of: str) -> str:
        """As the table says."""
        texts = {
            "work": self._table.work.source,
            "time": self._table.time.source,
            "disk": self._table.disk.source,
            "yield": self._table.yields.source,
        }
        return texts[of]


def published() -> Published:
    """Of a model."""
    return Published(_read("published.toml"))


def rehearsed(wait: float = 0.0) -> Published:
    """Of the rehearsal teacher, which may be told to wait so many seconds before an answer."""
    table = _read("rehearsal.toml")
    low, likely, high = table.time.seconds
    time = msgspec.structs.replace(table.time, seconds=(low + wait, likely + wait, high + wait))
    return Published(msgspec.structs.replace(table, time=time))


def _read(name: str) -> _Table:
    text = files("sera.analysis").joinpath(name).read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Table)


def _spent(table: _Table, n: int) -> Spent:
    """One task: n = 0 at its least, 1 likeliest, 2 most."""
    work, disk = table.work, table.disk
    trajectories, margin = work.trajectories[n], work.margin[n]

    def both(name: str) -> float:
        asked: int = getattr(work.question, name)
        rolled: int = getattr(work, name)
        return margin * (trajectories * rolled + work.questions * asked)

    calls, text = both("calls"), margin * (work.fresh + work.output) * disk.token
    return Spent(
        trajectories=trajectories,
        calls=calls,
        cached=both("cached"),
        fresh=both("fresh"),
        output=both("output"),
        seconds=calls * table.time.seconds[n],
        run_bytes=trajectories * text * disk.envelope,
        row_bytes=text * table.yields.submitted[n],
    )
