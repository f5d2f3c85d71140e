"""Tasks that were won and lost by the training: what was asked, and what the student did before and after."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sera.datasets.look.html import text
from sera.evaluation.record import Outcome
from sera.evaluation.tasks.record import Instance
from sera.specialize.report.findings import Evaluated, Findings

_MOST = 8
"""Examples of a kind."""
_FEW = 3
"""Of those that are alike before and after."""
_LINES = 400
"""Of a patch; a longer one is cut, with a word about it."""


class Sorted(NamedTuple):
    """Tasks by what the training changed."""

    won: list[Instance]
    lost: list[Instance]
    both: list[Instance]
    neither: list[Instance]


def sort_tasks(found: Findings) -> Sorted:
    """The tasks that both evaluations have ended."""
    result = Sorted([], [], [], [])
    for one in found.instances:
        ends = [side.resolved(one.instance_id) if side else None for side in (found.before, found.after)]
        match ends:
            case [False, True]:
                result.won.append(one)
            case [True, False]:
                result.lost.append(one)
            case [True, True]:
                result.both.append(one)
            case [False, False]:
                result.neither.append(one)
    return result


def examples(found: Findings) -> str:
    """The section's HTML; empty unless there are both evaluations."""
    if not found.before or not found.after:
        return ""
    tasks = sort_tasks(found)
    kinds = (
        ("Won: resolved only after the training", tasks.won, _MOST),
        ("Lost: resolved only before the training", tasks.lost, _MOST),
        ("Resolved before and after", tasks.both, _FEW),
        ("Resolved neither before nor after", tasks.neither, _FEW),
    )
    return "\n".join(
        _kind(title, every, most, found.before, found.after)
        for title, every, most in kinds
        if every or title.startswith(("Won", "Lost"))
    )


def _kind(title: str, every: Sequence[Instance], most: int, before: Evaluated, after: Evaluated) -> str:
    note = f", the first {most} of them" if len(every) > most else ""
    shown = "\n".join(_example(one, before, after) for one in every[:most])
    return f"<h3>{text(title)}: {len(every)}{note}</h3>\n{shown}"


def _example(task: Instance, before: Evaluated, after: Evaluated) -> str:
    where = f"{task.path}: {task.function}" if task.function else task.path
    name = task.instance_id
    sides = "\n".join(
        f"<h4>{when}: {text(_ends(side.outcomes[name]))}</h4>\n{diff(side.patch(name))}"
        for when, side in (("Before", before), ("After", after))
    )
    title = f'{text(name)} <span class="quiet">{text(where)}</span>'
    return (
        f'<details class="row"><summary>{title}</summary>\n'
        f"<h4>The task</h4>\n<pre>{text(task.problem_statement)}</pre>\n{sides}\n"
        f"<h4>The patch that the task was made with</h4>\n{diff(task.patch)}\n</details>"
    )


def _ends(outcomes: Iterable[Outcome]) -> str:
    """What became of each seed."""
    return ", ".join(f"{one.state} ({one.reason})" if one.reason else str(one.state) for one in outcomes)


def diff(patch: str) -> str:
    """A patch with its lines marked, signs kept, so that it reads without colours too."""
    if not patch.strip():
        return '<p class="quiet">No change was handed in.</p>'
    lines = patch.rstrip("\n").split("\n")
    cut = f'\n<span class="quiet">[{len(lines) - _LINES:,} more lines]</span>' if len(lines) > _LINES else ""
    marked = "\n".join(_marked(lines[:_LINES]))
    return f'<pre class="diff">{marked}{cut}</pre>'


def _marked(lines: Iterable[str]) -> Iterator[str]:
    heading = True
    for line in lines:
        if line.startswith("diff --git "):
            heading = True
        elif line.startswith("@@"):
            heading = False
        if heading or line.startswith("@@"):
            yield f'<span class="quiet">{text(line)}</span>'
        elif line.startswith("+"):
            yield f"<ins>{text(line)}</ins>"
        elif line.startswith("-"):
            yield f"<del>{text(line)}</del>"
        else:
            yield text(line)
