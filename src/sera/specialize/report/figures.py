"""The figures of the page: resolve rate, tool calls, loss, and r. Before is grey, after is the accent; what a
figure shows is said in its caption too."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sera.datasets.look.figures import Plot
from sera.datasets.look.plotting import ACCENT, INK, LINE, QUIET, new_figure
from sera.evaluation.statistics import told
from sera.specialize.report.findings import Evaluated, Findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NARROW = 1.9
"""Height of a figure with a bar before and a bar after."""


def draw(found: Findings) -> Iterator[Plot]:
    """Every figure that there are numbers for; to be called inside `plotting.drawing`."""
    asked = [
        (name, one, colour)
        for name, one, colour in (("before", found.before, QUIET), ("after", found.after, ACCENT))
        if one
    ]
    rated = [(name, one, colour) for name, one, colour in asked if one.results.rate]
    if rated:
        yield Plot("resolved", f"Tasks resolved: {_rates(rated)}.", _resolved(rated))
    behaved = [(name, one) for name, one, _ in asked if one.results.behaviour]
    if behaved:
        yield Plot(
            "calls",
            f"Answers with a tool call as the protocol wants it: {_shares(behaved)}.",
            _calls(behaved),
        )
    if any(step.loss is not None for step in found.steps):
        yield Plot("loss", _loss_caption(found), _loss(found))
    if found.summary and any(found.summary.recall_histogram):
        mean = found.summary.mean_recall or 0.0
        yield Plot(
            "recall",
            f"Pairs of the run by r, {mean:.2f} on average.",
            _recall(found.summary.recall_histogram),
        )


def _rates(rated: Sequence[tuple[str, Evaluated, str]]) -> str:
    return ", ".join(
        f"{told(one.results.rate.mean, one.results.rate.interval)} {name}"
        for name, one, _ in rated
        if one.results.rate
    )


def _shares(behaved: Sequence[tuple[str, Evaluated]]) -> str:
    return ", ".join(
        f"{one.results.behaviour.shares()['strict']} {name}" for name, one in behaved if one.results.behaviour
    )


def _resolved(rated: Sequence[tuple[str, Evaluated, str]]) -> "Figure":
    figure, axes = new_figure("percent of the tasks", "", height=_NARROW)
    for row, (_, one, colour) in enumerate(rated):
        rate = one.results.rate
        assert rate is not None
        axes.barh(row, rate.mean, color=colour, height=0.55)
        axes.plot([rate.interval.low, rate.interval.high], [row, row], color=INK, linewidth=1.4, marker="|")
        end = max(rate.mean, rate.interval.high)
        axes.annotate(f" {rate.mean:.1f} %", (end, row), va="center", fontsize=8)
    _rows(axes, [name for name, _, _ in rated])
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    return figure


def _calls(behaved: Sequence[tuple[str, Evaluated]]) -> "Figure":
    figure, axes = new_figure("percent of the answers", "", height=_NARROW + 0.3)
    for row, (_, one) in enumerate(behaved):
        assert one.results.behaviour is not None
        turns = one.results.behaviour.turns
        start, total = 0.0, turns.total or 1
        parts = (
            (turns.strict, ACCENT, "strict"),
            (turns.repaired, QUIET, "repaired"),
            (turns.unusable, LINE, "unusable"),
        )
        for number, colour, name in parts:
            width = 100 * number / total
            axes.barh(row, width, left=start, color=colour, height=0.55, label=name if row == 0 else None)
            start += width
    _rows(axes, [name for name, _ in behaved])
    axes.set_xlim(0, 100)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return figure


def _rows(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _loss_caption(found: Findings) -> str:
    kept = [step.held_out_loss for step in found.steps if step.held_out_loss is not None]
    told = (
        f" On held-out conversations it goes from {kept[0]:.3f} to {kept[-1]:.3f}." if len(kept) > 1 else ""
    )
    last = next(step.loss for step in reversed(found.steps) if step.loss is not None)
    return f"Loss by step of the training, {last:.3f} in the last.{told}"


def _loss(found: Findings) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure("step", "loss")
    trained = [(step.step, step.loss) for step in found.steps if step.loss is not None]
    kept = [(step.step, step.held_out_loss) for step in found.steps if step.held_out_loss is not None]
    axes.plot(
        *zip(*trained, strict=True),
        color=ACCENT,
        linewidth=1.4,
        marker="." if len(trained) < 3 else None,
        label="training",
    )
    if kept:
        axes.plot(
            *zip(*kept, strict=True),
            color=INK,
            linewidth=1,
            linestyle=(0, (4, 3)),
            marker="o",
            markersize=4,
            label="held out",
        )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    return figure


def _recall(counts: Sequence[int]) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure("r", "pairs")
    axes.bar(range(len(counts)), counts, width=0.92, color=ACCENT)
    axes.set_xticks(range(len(counts)), [f"{n / 10:.1f}…" for n in range(len(counts) - 1)] + ["1"])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.grid(visible=False, axis="x")
    return figure
