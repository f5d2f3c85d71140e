"""`sera show`: a run's pairs, or one of them from prompt to patch."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import PATH, console, counted, table
from sera.visible import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from sera.records import Pair, Rollout, Task
    from sera.runs import Run

_CUT = 12
"""Lines of a message shown without --full."""
_ID_DIGITS = 4
"""Fewest digits that stand for an id and not for a number."""


@click.command(
    epilog="""\b
Examples:
  sera show run
  sera show run 3
  sera show run 3f9a --full | less -R"""
)
@click.argument("run", type=PATH)
@click.argument("pair", required=False)
@click.option("--full", is_flag=True, help="Show messages in full length.")
def command(run: Path, pair: str | None, full: bool) -> None:
    """List the pairs of RUN, or show the PAIR with that number, from 0 (or the beginning of that id):
    prompt, first rollout and patch, issue text, second rollout and patch, and r line by line."""
    from sera.runs import read_run

    opened = read_run(run)
    if pair is None:
        _list(opened)
    else:
        _show(opened, *find(opened, pair), None if full else _CUT)


def _list(run: "Run") -> None:
    rows = []
    for task, pair in run.task_pairs():
        place = f"{task.function.path}:{task.function.name}"
        rows.append((task.index, task.id, _state(pair), _recall(pair), task.categories[0], place))
    console().print(table("", ["pair", "id", "state", "r", "category", "function"], rows, ["pair", "r"]))


def _state(pair: "Pair | None") -> str:
    return pair.state if pair else "owed"


def _recall(pair: "Pair | None") -> str:
    return f"{pair.agreement.recall:.2f}" if pair and pair.agreement else ""


def find(run: "Run", name: str) -> "tuple[Task, Pair | None]":
    """The one task with that number, or whose id begins so; `UsageError` otherwise."""
    from sera.errors import UsageError

    found = [
        (task, pair)
        for task, pair in run.task_pairs()
        if name == str(task.index) or (len(name) >= _ID_DIGITS and task.id.startswith(name))
    ]
    if len(found) != 1:
        what = "no pair" if not found else f"{len(found)} pairs"
        raise UsageError(
            f"{run.path} has {what} {name!r}: pairs have numbers from 0 to {len(run.tasks) - 1}, and `sera show "
            f"{run.path}` lists them with their ids"
        )
    return found[0]


def _show(run: "Run", task: "Task", pair: "Pair | None", lines: int | None) -> None:
    out = console()
    function = task.function
    out.print(f"pair {task.index} ({one_line(task.id)}): {one_line(function.name)} in {one_line(function.path)}, "
              f"lines {function.line} to {function.end_line}")  # fmt: skip
    out.print(f"state: {_state(pair)}{f' – {one_line(pair.reason)}' if pair and pair.reason else ''}")
    if pair is None:
        return
    t1, t2 = run.rollouts.get(pair.t1), run.rollouts.get(pair.t2)
    if t1:
        _show_rollout(out, t1, lines)
    if request := run.pull_requests.get(pair.t1):
        from sera.cli.render import within

        out.rule(f"pull request, in the style of {request.demonstration}", align="left")
        out.print(within(request.text))
    if t2:
        _show_rollout(out, t2, lines)
    if t1 and t2 and pair.agreement:
        _compare(out, t1, t2, pair)


def _show_rollout(out: "Console", rollout: "Rollout", lines: int | None) -> None:
    from sera.cli.render import diff_text, message_text

    about = f", category {rollout.category}" if rollout.category else ""
    out.rule(f"{rollout.stage}, attempt {rollout.attempt + 1}{about}: {rollout.end} after "
             f"{rollout.usage.calls} calls in {rollout.seconds:.1f} s", align="left")  # fmt: skip
    for finding in rollout.findings:
        out.print(f"{finding.severity}: {finding.kind}, {finding.times} times: {one_line(finding.evidence)}")
    for message in rollout.messages:
        out.print(message_text(message, lines))
    out.rule(f"patch of {rollout.stage}", align="left")
    out.print(diff_text(rollout.patch) if rollout.patch else "(nothing changed)")
    if rollout.left_out:
        named = ", ".join(map(one_line, rollout.products))
        more = " and more" if rollout.left_out > len(rollout.products) else ""
        out.print(f"left out, as tools made them: {counted(rollout.left_out, 'file')} ({named}{more})")


def _compare(out: "Console", t1: "Rollout", t2: "Rollout", pair: "Pair") -> None:
    from sera.cli.render import agreement_text, matches_text
    from sera.generation.recall import explain

    out.rule("t1 found again in t2", align="left")
    out.print(matches_text(explain(t1.patch, t2.patch)))
    if pair.agreement:
        out.print(agreement_text(pair.agreement))
