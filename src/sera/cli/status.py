"""`sera status`: how far a run is."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import PATH, bill, console, counted, duration, json_option, print_json, table

if TYPE_CHECKING:
    from rich.table import Table

    from sera.runs.summary import Summary
    from sera.runs.underway import UnderWay

_AGAIN = 2.0
"""Seconds between two looks with --watch."""
_SHOWN = 20
"""Rollouts under way that are listed; --json has all."""


@click.command(
    epilog="""\b
Examples:
  sera status run
  sera status run --watch
  sera status run --json | jq .states"""
)
@click.argument("run", type=PATH)
@json_option
@click.option("--watch", is_flag=True, help="Look again every few seconds until the run has ended.")
def command(run: Path, as_json: bool, watch: bool) -> None:
    """How far RUN is: tasks by state and reason, recall, what is under way, tokens, time left."""
    from sera.runs import read_run
    from sera.runs.summary import summarize
    from sera.teachers import recorded_price

    while True:
        opened = read_run(run)
        summary = summarize(opened, recorded_price(opened.manifest.config))
        if watch and not as_json:
            click.clear()
        _report(run, summary, as_json)
        if not (watch and summary.running):
            return
        time.sleep(_AGAIN)


def _report(run: Path, summary: "Summary", as_json: bool) -> None:
    if as_json:
        print_json(summary)
    else:
        _print(run, summary)


def _print(run: Path, summary: "Summary") -> None:
    out = console()
    out.print(f"{run}: {summary.tasks} tasks, {_activity(summary)}")
    out.print(table("", ["tasks", "state"], [(n, state) for state, n in summary.states.items()], ["tasks"]))
    if summary.reasons:
        out.print(table("", ["tasks", "reason"], [(n, why) for why, n in summary.reasons.items()], ["tasks"]))
    if summary.mean_recall is not None:
        out.print(table(f"Recall r of T2 against T1, mean {summary.mean_recall:.3f}", ["pairs", "r", ""],
                        _bars(summary.recall_histogram), ["pairs"]))  # fmt: skip
    if summary.running and summary.under_way:
        out.print(_stragglers(summary.under_way))
    usage = summary.usage
    out.print(
        f"{summary.rollouts} rollouts, {usage.calls:,} model calls: {usage.prompt:,} prompt tokens "
        f"({usage.cached:,} cached), {usage.completion:,} completion tokens"
    )
    if summary.left_out:
        out.print(f"{counted(summary.left_out, 'file')} that tools made left out of the patches")
    if summary.spent.total.tokens or summary.spent.flaws:
        out.print(bill(summary.spent, summary.priced))
    for flaw in summary.flaws[:_SHOWN]:
        out.print(flaw)
    if summary.damaged:
        again = (
            "is owed again: `sera generate` with the same command does it"
            if summary.owed
            else "was done again"
        )
        out.print(f"{counted(summary.damaged, 'place')} of the journals damaged; what is not whole {again}")


def _activity(summary: "Summary") -> str:
    if not summary.owed:
        return "all ended"
    if not summary.running:
        return f"{summary.owed} owed, not running"
    left = f", about {duration(summary.seconds_left)} left" if summary.seconds_left is not None else ""
    return f"{summary.owed} owed, {_doing(summary.ordered)}{left if not summary.ordered else ''}"


def _doing(ordered: str) -> str:
    """`running`, or what it does by order."""
    return f"running, {ordered}" if ordered.startswith("to ") else ordered or "running"


def _stragglers(under_way: "list[UnderWay]") -> "Table":
    """What is under way, the longest silent first: a straggler stands at the top."""
    rows = [
        (one.pair, one.stage, one.attempt + 1, (one.question or "rollout").replace("_", " "), one.steps,
         duration(one.seconds), duration(one.silent))
        for one in under_way[:_SHOWN]
    ]  # fmt: skip
    more = f", the {_SHOWN} that are silent longest" if len(under_way) > _SHOWN else ""
    return table(
        f"{len(under_way)} under way{more}",
        ["pair", "stage", "attempt", "what", "steps", "since", "last step ago"],
        rows,
        ["pair", "attempt", "steps", "since", "last step ago"],
    )


def _bars(histogram: list[int]) -> list[tuple[object, ...]]:
    widest = max(histogram) or 1
    names = [f"{n / 10:.1f} …" for n in range(10)] + ["1"]
    return [
        (count, name, "█" * round(30 * count / widest)) for name, count in zip(names, histogram, strict=True)
    ]
