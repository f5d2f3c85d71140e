"""The forecast of a run under way, kept current at little cost: two or three records are read per task that
ends, and nothing is drawn at random. For intervals, `sera estimate REPO --run RUN`."""

from sera.analysis.forecast import dollars
from sera.analysis.runs import recorded_usage, spent_on
from sera.records import Pair, State, Usage
from sera.runs import Run
from sera.runs.summary import usage_of
from sera.teachers import Price

_NANO = 1_000_000_000
_ROUND = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


class Outlook:
    """What a run has used so far, and will have used in the end if the other tasks are like those ended."""

    def __init__(self, run: Run, price: Price | None) -> None:
        self._run, self._price = run, price
        self._tasks = {task.id: task for task in run.tasks}
        owed = run.owed()
        self._ended = {pair.task for pair in run.pairs} - {task.id for task in owed}
        begun = sum((recorded_usage(run, task) for task in owed), Usage())
        self._usage = usage_of(run, run.rollouts.usage) - begun
        """Without what owed tasks have on record: `count` adds it when they end."""
        self._dollars = self._price_of(self._usage)

    def count(self, pair: Pair) -> None:
        """One more task has ended."""
        task = self._tasks.get(pair.task)
        if task is None or pair.task in self._ended or pair.state in (State.FAILED, State.REQUEUED):
            return
        self._ended.add(pair.task)
        spent = spent_on(self._run, task, pair)
        self._usage += Usage(
            calls=round(spent.calls),
            prompt=round(spent.cached + spent.fresh),
            cached=round(spent.cached),
            completion=round(spent.output),
        )
        self._dollars += dollars(spent, self._price) if self._price else 0.0

    def __str__(self) -> str:
        """So far, and in the end; nothing before a task has ended."""
        if not self._ended:
            return ""
        factor = max(len(self._tasks) / len(self._ended), 1.0)
        tokens = self._usage.prompt + self._usage.completion
        parts = [_of(self._usage.calls, factor, "calls"), _of(tokens, factor, "tokens")]
        if self._dollars:
            parts.append(f"${self._dollars:,.2f} of about ${self._dollars * factor:,.2f}")
        return ", ".join(parts)

    def _price_of(self, usage: Usage) -> float:
        return self._price.cost(usage) / _NANO if self._price else 0.0


def _of(number: float, factor: float, what: str) -> str:
    return f"{brief(number)} of about {brief(number * factor)} {what}"


def brief(number: float) -> str:
    """Three digits and a letter."""
    for size, letter in _ROUND:
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"
