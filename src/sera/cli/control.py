"""`sera pause`, `resume`, `stop`, `requeue` and `drop`: orders to a run, under way or not."""

import shlex
from pathlib import Path

import click

from sera.cli.common import PATH, FloatRange, console

_RUN = click.argument("run", type=PATH)
_PAIRS = click.argument("pairs", nargs=-1, metavar="PAIR…")


@click.command(epilog="\b\nExamples:\n  sera pause run")
@_RUN
def pause(run: Path) -> None:
    """Let RUN ask its teacher nothing more until `sera resume`. Steps under way are finished."""
    _order(run, "pause")
    console().print(
        f"{run} pauses once its present steps are done; `sera resume {shlex.quote(str(run))}` goes on"
    )


@click.command(epilog="\b\nExamples:\n  sera resume run")
@_RUN
def resume(run: Path) -> None:
    """Let a paused RUN go on."""
    _order(run, "resume")
    console().print(f"{run} goes on")


@click.command(epilog="\b\nExamples:\n  sera stop run\n  sera stop run --at 0.99")
@_RUN
@click.option("--at", "share", type=FloatRange(0, 1, min_open=True), help="Only when this share has ended.")
def stop(run: Path, share: float | None) -> None:
    """End RUN after its present steps, or as soon as a share of its tasks has ended, without waiting
    for stragglers: their requests in flight are broken off. The same `sera generate` goes on with the
    rest, from its last steps."""
    _order(run, "stop", share=share or 0.0)
    console().print(
        f"{run} ends {f'when {share:.1%} of its tasks have ended' if share else 'after its present steps'}"
    )


@click.command(
    epilog="""\b
Examples:
  sera requeue run 3 17
  sera requeue run --state t1_unfinished --state dropped"""
)
@_RUN
@_PAIRS
@click.option("--state", "states", multiple=True, help="All tasks that ended so; may be repeated.")
def requeue(run: Path, pairs: tuple[str, ...], states: tuple[str, ...]) -> None:
    """Do tasks of RUN anew, by number, id or state. What was recorded of them stays in the journals
    but counts no more. One that is owed, as a failed one is, is not begun anew: it goes on from its last
    step. If the run is not under way, its next `sera generate` does them."""
    _apply(run, "requeue", _chosen(run, pairs, states))


@click.command(epilog="\b\nExamples:\n  sera drop run 3")
@_RUN
@_PAIRS
def drop(run: Path, pairs: tuple[str, ...]) -> None:
    """Give tasks of RUN up, by number or id: a straggler at work is cancelled."""
    _apply(run, "drop", _chosen(run, pairs, ()))


def _order(run: Path, verb: str, task: str = "", share: float = 0.0) -> None:
    """Write an order to a run that is under way."""
    from sera.errors import UsageError
    from sera.runs import is_running, read_run
    from sera.runs.control import Order, OrderBook, Verb

    read_run(run)
    if not is_running(run):
        raise UsageError(
            f"nobody is working on {run}: `sera generate` with the same settings starts it again"
        )
    OrderBook(run).write(Order(verb=Verb(verb), task=task, share=share))


def _chosen(run: Path, pairs: tuple[str, ...], states: tuple[str, ...]) -> list[str]:
    """Ids of the tasks meant."""
    from sera.cli.show import find
    from sera.errors import UsageError
    from sera.runs import read_run

    opened = read_run(run)
    named = [find(opened, name)[0].id for name in pairs]
    in_state = [task.id for task, pair in opened.task_pairs() if pair and pair.state in states]
    if not named + in_state:
        raise UsageError(
            f"no task of {run} is meant: name pairs or a state; `sera show {shlex.quote(str(run))}` lists them"
        )
    return list(dict.fromkeys(named + in_state))


def _apply(run: Path, verb: str, tasks: list[str]) -> None:
    from sera.runs import change_run, is_running
    from sera.runs.control import Verb

    if is_running(run):
        for task in tasks:
            _order(run, verb, task)
        console().print(f"{run} has been told to {verb} {len(tasks)} tasks")
    else:
        changed = change_run(run, Verb(verb), tasks)
        console().print(
            f"{verb}: {changed} of {len(tasks)} tasks of {run}{_rest(run, verb, len(tasks) - changed)}"
        )


def _rest(run: Path, verb: str, unchanged: int) -> str:
    """Why some were left alone."""
    if not unchanged:
        return ""
    if verb == "drop":
        return f"; {unchanged} have ended already, and nothing is left to give up"
    return (
        f"; {unchanged} are owed already, and the next `sera generate` with --out {run} goes on with them from "
        "their last steps"
    )
