"""The figures of a dataset, drawn from what a survey has kept of its rows."""

import math
from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from sera.datasets.look.plotting import ACCENT, INK, new_figure
from sera.datasets.look.statistics import Series, Statistics
from sera.visible import shortened, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 40
_NAMES, _NAME_LENGTH = 60, 36
"""Bars of a figure of names, and characters of a name."""
_POINTS = 500
"""Of a curve; more cannot be seen."""


class Plot(NamedTuple):
    """One figure with its caption, which says in words what it shows."""

    name: str
    caption: str
    figure: "Figure"


def draw(statistics: Statistics, series: Series) -> Iterator[Plot]:
    """Every figure; to be called inside `plotting.drawing`."""
    quantiles = statistics.tokens.quantiles
    yield Plot(
        "tokens",
        f"Length of the rows: half have at most {quantiles['0.5']:,.0f} tokens, "
        f"the longest {quantiles['1']:,.0f}.",
        _spread("tokens of a row", series.tokens),
    )
    yield Plot(
        "ratio",
        f"Share of each conversation that is left, rows in falling order: {statistics.cut_rows:,} of "
        f"{statistics.rows:,} are cut.",
        _ratio(series.ratio),
    )
    yield Plot(
        "recall",
        f"Rows by r, the share of the first patch that the second repeats, {statistics.recall.mean:.2f} on "
        f"average.",
        _recall(statistics.recall_bins),
    )
    steps = statistics.steps.quantiles
    yield Plot(
        "steps",
        f"Assistant turns of a row: half have at most {steps['0.5']:.0f}, the longest {steps['1']:.0f}.",
        _spread("assistant turns of a row", series.steps, whole=True),
    )
    if statistics.tools:
        tools = statistics.tools
        yield Plot("tools", f"Calls by tool{_others(tools)}.", _names(tools, "calls"))
    if statistics.patch_lines:
        lines = statistics.patch_lines.quantiles
        yield Plot(
            "patches",
            f"Changed lines of a patch: half have at most {lines['0.5']:.0f}, the largest {lines['1']:.0f}.",
            _spread("changed lines of a patch", series.patch_lines, whole=True),
        )
    yield Plot(
        "categories",
        f"Rows by category of the change{_others(statistics.categories)}.",
        _names(statistics.categories, "rows"),
    )


def _spread(label: str, values: "array[int]", whole: bool = False) -> "Figure":
    """A histogram with the median; `whole` keeps a bin from holding less than one number."""
    figure, axes = new_figure(label, "rows")
    low, high = min(values, default=0), max(values, default=0)
    width = float(max(math.ceil((high - low) / _BINS), 1)) if whole else ((high - low) / _BINS or 1.0)
    number = int((high - low) / width) + 1
    counts = [0] * number
    for value in values:
        counts[min(int((value - low) / width), number - 1)] += 1
    starts = [low + n * width - (width / 2 if whole else 0) for n in range(number)]
    axes.bar(starts, counts, width=width * 0.92, align="edge", color=ACCENT)
    axes.set_ylim(0, max(counts) * 1.15 or 1)
    if values:
        _note_median(axes, sorted(values)[round(0.5 * (len(values) - 1))])
    _plain_numbers(axes)
    axes.grid(visible=False, axis="x")
    return figure


def _note_median(axes: "Axes", median: float) -> None:
    axes.axvline(median, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f" median {median:,.0f}", (median, 1), xycoords=("data", "axes fraction"), va="top", fontsize=8
    )


def _ratio(ratios: "array[float]") -> "Figure":
    figure, axes = new_figure("share of the rows", "ratio")
    ordered = sorted(ratios, reverse=True) or [0.0]
    last = len(ordered) - 1
    places = sorted({round(n / _POINTS * last) for n in range(_POINTS + 1)})
    shares = [(place + 1) / len(ordered) for place in places]
    axes.step(
        [0.0, *shares], [ordered[0], *(ordered[place] for place in places)], color=ACCENT, linewidth=1.8
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(min(0.85, ordered[-1]) - 0.02, 1.02)
    return figure


def _recall(counts: list[int]) -> "Figure":
    figure, axes = new_figure("r", "rows")
    width = 1 / len(counts)
    axes.bar([n * width for n in range(len(counts))], counts, width=width * 0.92, align="edge", color=ACCENT)
    axes.set_xlim(0, 1)
    axes.set_xticks([n / 10 for n in range(11)])
    _plain_numbers(axes)
    axes.grid(visible=False, axis="x")
    return figure


def _names(counts: Mapping[str, int], label: str) -> "Figure":
    shown = list(counts.items())[:_NAMES]
    from matplotlib.ticker import MaxNLocator

    names = [shortened(visible(name), _NAME_LENGTH).replace("$", r"\$") or "(none)" for name, _ in shown]
    numbers = [count for _, count in shown]
    figure, axes = new_figure(label, "", height=0.8 + 0.24 * max(len(shown), 4))
    bars = axes.barh(range(len(shown)), numbers, color=ACCENT, height=0.72)
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(max(len(shown), 4) - 0.4, -0.6)
    axes.bar_label(bars, labels=[f"{number:,}" for number in numbers], padding=3, fontsize=8)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    return figure


def _others(counts: Mapping[str, int]) -> str:
    """What a figure of names leaves out."""
    rest = len(counts) - _NAMES
    return f", the {rest:,} rarest left out" if rest > 0 else ""


def _plain_numbers(axes: "Axes") -> None:
    """Thousands parted, and no fractions of rows."""
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
