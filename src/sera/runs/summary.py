"""How far a run is and what came of it, from its records alone."""

import itertools
import statistics
from collections import Counter

from sera.records import Pair, Record, State, Usage
from sera.runs.folder import is_running
from sera.runs.ledger import LEDGER, Balance, read_ledger
from sera.runs.run import Run

_RECENT = 50
"""Pairs from which the present speed is taken."""
_BINS = 10


class Summary(Record, frozen=True):
    """The figures of one run."""

    tasks: int
    """In the plan."""
    owed: int
    """Without a definite end; failed ones included."""
    states: dict[str, int]
    """Tasks by what became of them; `owed` for those not ended or not begun."""
    reasons: dict[str, int]
    """Tasks by state and reason, complete ones left out."""
    recall_histogram: list[int]
    """Complete pairs with r in [0, 0.1), … [0.8, 0.9), [0.9, 1), and r = 1 exactly."""
    mean_recall: float | None
    usage: Usage
    """Of all model calls, also those of refused and failed attempts."""
    spent: Balance
    """By the ledger: dollars and tokens, settled and uncertain; all zero if nothing was metered."""
    rollouts: int
    seconds_left: float | None
    """Estimated from the pace of the last pairs; None if nothing is owed or the pace is unknown."""
    running: bool
    damaged: int
    """Lines of the journals that could not be read; what they held is owed again."""


class _Spent(Record, frozen=True):
    usage: Usage = Usage()


def summarize(run: Run) -> Summary:
    """Read all journals once."""
    ends = run.task_pairs()
    pairs = [pair for _, pair in ends if pair]
    recalls = [pair.agreement.recall for pair in pairs if pair.agreement]
    owed = len(run.owed())
    spent = [part.usage for journal in run.journals[:3] for part in journal.every(_Spent)]
    return Summary(
        tasks=len(run.tasks),
        owed=owed,
        states=_count([pair.state if pair else "owed" for _, pair in ends]),
        reasons=_count([_reason(pair) for pair in pairs if pair.state is not State.COMPLETE]),
        recall_histogram=_histogram(recalls),
        mean_recall=statistics.fmean(recalls) if recalls else None,
        usage=sum(spent, Usage()),
        spent=read_ledger(run.path / LEDGER),
        rollouts=sum(1 for _ in run.rollouts.every(_Spent)),
        seconds_left=_seconds_left(pairs, owed),
        running=is_running(run.path),
        damaged=sum(journal.damaged for journal in run.journals),
    )


def _count(names: list[str]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, names)).items()))


def _reason(pair: Pair) -> str:
    return f"{pair.state}: {pair.reason}"


def _histogram(recalls: list[float]) -> list[int]:
    counts = [0] * (_BINS + 1)
    for recall in recalls:
        counts[min(int(recall * _BINS + 1e-9), _BINS)] += 1
    return counts


def _seconds_left(pairs: list[Pair], owed: int) -> float | None:
    """Owed tasks at the pace of the last pairs; the longest gap, perhaps a night, is left out."""
    times = sorted(pair.finished for pair in pairs)[-_RECENT:]
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(times))[:-1]
    return owed * statistics.fmean(gaps) if owed and gaps else None
