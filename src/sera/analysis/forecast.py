"""A forecast is a plain function of statistics, a plan, a price and a concurrency. See `docs/forecast.md`."""

from sera.analysis.basis import THRESHOLDS, Basis, Spent, Use
from sera.analysis.interval import Interval
from sera.records import Record, Usage
from sera.runs.ledger import Balance
from sera.teachers import Price

_NANO = 1_000_000_000
_HOUR = 3600.0


class Plan(Record, frozen=True):
    """What is to be done."""

    functions: int
    """That can be sampled from the repository."""
    tasks: int


class Figure(Record, frozen=True):
    """One quantity of the whole plan."""

    name: str
    unit: str
    """`count`, `tokens`, `usd`, `hours` or `bytes`."""
    low: float
    likely: float | None
    high: float
    already: float
    """Of it, what the tasks that are done have taken. Hours are those still to come."""
    source: str


class Yield(Record, frozen=True):
    """Tasks whose T2 has at least a certain recall."""

    recall: float
    share: Interval
    """Of all tasks, 0…1."""
    pairs: Interval
    source: str


class Forecast(Record, frozen=True):
    """What a plan will take and yield. Intervals are at 95 % where measured, assumed where not."""

    functions: int
    tasks: int
    done: int
    """Of the tasks, those that a run has done."""
    concurrency: int
    price: Price | None
    figures: tuple[Figure, ...]
    yields: tuple[Yield, ...]
    billed: Balance | None = None
    """What the run that was measured has spent by its ledger, at its own price."""

    def figure(self, name: str) -> Figure | None:
        """The quantity of that name, None if it could not be forecast."""
        return next((figure for figure in self.figures if figure.name == name), None)


_USES: tuple[tuple[str, str, Use], ...] = (
    ("trajectories", "count", lambda spent: spent.trajectories),
    ("model calls", "count", lambda spent: spent.calls),
    ("prompt tokens, cached", "tokens", lambda spent: spent.cached),
    ("prompt tokens, new", "tokens", lambda spent: spent.fresh),
    ("output tokens", "tokens", lambda spent: spent.output),
)
_DISK: tuple[tuple[str, str, Use], ...] = (
    ("run directory", "bytes", lambda spent: spent.run_bytes),
    ("dataset of every T2", "bytes", lambda spent: spent.row_bytes),
)


def forecast(
    basis: Basis, plan: Plan, price: Price | None, concurrency: int, seconds_per_call: float | None = None
) -> Forecast:
    """Forecast a plan. Without a price there are no dollars in it, and everything else.

    `seconds_per_call` replaces the time that the basis knows of.
    """
    figures = [_figure(basis, plan, "work", *use) for use in _USES]
    if price:
        figures += _dollars(basis, plan, price)
    figures.append(_hours(basis, plan, concurrency, seconds_per_call))
    figures += [_figure(basis, plan, "disk", *use) for use in _DISK]
    return Forecast(
        functions=plan.functions,
        tasks=plan.tasks,
        done=len(basis.done),
        concurrency=concurrency,
        price=price,
        figures=tuple(figures),
        yields=tuple(_yield(basis, plan, threshold) for threshold in THRESHOLDS),
    )


def dollars(spent: Spent, price: Price) -> float:
    """What one task costs. Where writing to the cache has a price of its own, new tokens have that."""
    usage = Usage(
        prompt=round(spent.cached + spent.fresh), cached=round(spent.cached), completion=round(spent.output)
    )
    written = round(spent.fresh) if price.written is not None else 0
    return price.cost(usage, written) / _NANO


def _figure(basis: Basis, plan: Plan, of: str, name: str, unit: str, use: Use) -> Figure:
    found = basis.total(use, plan.tasks)
    already = sum(map(use, basis.done))
    return Figure(
        name=name,
        unit=unit,
        low=found.low,
        likely=found.likely,
        high=found.high,
        already=already,
        source=basis.source(of),
    )


def _dollars(basis: Basis, plan: Plan, price: Price) -> list[Figure]:
    """With the cache, and what it would be if the server cached nothing."""
    uncached = Price(input=price.input, output=price.output)
    figures = [_figure(basis, plan, "work", "cost", "usd", lambda spent: dollars(spent, price))]
    if price.cached is not None and price.cached < price.input:
        figures.append(
            _figure(basis, plan, "work", "cost if nothing were cached", "usd", lambda s: dollars(s, uncached))
        )
    return figures


def _hours(basis: Basis, plan: Plan, concurrency: int, per_call: float | None) -> Figure:
    """Of the tasks to come. K workers that take the next task when they are free need at least a K-th of
    the work, and at most that and one longest task (Graham 1969)."""

    def use(spent: Spent) -> float:
        return spent.seconds if per_call is None else spent.calls * per_call

    left = max(plan.tasks - len(basis.done), 0)
    workers = max(min(concurrency, left), 1)
    already = sum(map(use, basis.done))
    work = basis.total(use, plan.tasks)
    longest = basis.longest(use) * (1 - 1 / workers) if left else 0.0
    likely = None if work.likely is None else (work.likely - already) / workers / _HOUR
    source = basis.source("time")
    if per_call is not None:
        source = f"{per_call:g} s per call as given, for the calls above"
    return Figure(
        name="hours to come",
        unit="hours",
        low=(work.low - already) / workers / _HOUR,
        likely=likely,
        high=((work.high - already) / workers + longest) / _HOUR,
        already=0.0,
        source=source,
    )


def _yield(basis: Basis, plan: Plan, threshold: float) -> Yield:
    share, pairs = basis.pairs(threshold, plan.tasks)
    return Yield(recall=threshold, share=share, pairs=pairs, source=basis.source("yield"))
