"""How far a run is and what came of it, from its records alone."""

import itertools
import statistics
from collections import Counter

from sera.records import Pair, Record, State, Usage
from sera.runs.control import standing
from sera.runs.folder import is_running
from sera.runs.ledger import LEDGER, Balance, Tariff, read_ledger
from sera.runs.run import Run
from sera.runs.underway import UnderWay, under_way

_RECENT = 50
"""Pairs from which the present speed is taken."""
_BINS = 10
_REASONS = 5


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
    """Of all model calls on record, also those of refused and failed attempts."""
    spent: Balance
    """By the ledger: dollars and tokens, settled, uncertain, in flight; all zero if nothing was metered."""
    priced: bool
    """Whether the price of the teacher's tokens is known; if not, no dollars are counted in `spent`."""
    rollouts: int
    """One that broke and was gone on with counts once."""
    left_out: int
    """Files that are in no patch, being products of tools."""
    seconds_left: float | None
    """Estimated from the pace of the last pairs; None if nothing is owed or the pace is unknown."""
    running: bool
    ordered: str
    """What the process at work was told and obeys: `paused`, `stopping`; empty if it simply works."""
    under_way: list[UnderWay]
    """What was begun and has not ended, the longest silent first."""
    damaged: int
    """Lines of the journals that are not whole; what they held is owed again."""
    flaws: list[str]
    """What is wrong with which of them; the first of each."""


class _Spent(Record, frozen=True):
    usage: Usage = Usage()


def usage_of(run: Run, rollouts: dict[str, Usage]) -> Usage:
    """Of all model calls on record, those of the rollouts and of the questions about them."""
    asked = [part.usage for journal in (run.verdicts, run.pull_requests) for part in journal.every(_Spent)]
    return sum(asked, sum(rollouts.values(), Usage()))


def summarize(run: Run, tariff: Tariff | None = None) -> Summary:
    """Read all journals once. `tariff`: what the teacher's tokens cost, for what its ledger has lost."""
    ends = run.task_pairs()
    pairs = [pair for _, pair in ends if pair]
    recalls = [pair.agreement.recall for pair in pairs if pair.agreement]
    owed, running, rollouts = len(run.owed()), is_running(run.path), run.rollouts.usage
    return Summary(
        tasks=len(run.tasks),
        owed=owed,
        states=_count([pair.state if pair else "owed" for _, pair in ends]),
        reasons=_count([_reason(pair) for pair in pairs if pair.state is not State.COMPLETE]),
        recall_histogram=_histogram(recalls),
        mean_recall=statistics.fmean(recalls) if recalls else None,
        usage=usage_of(run, rollouts),
        spent=read_ledger(run.path / LEDGER, run.proven, tariff),
        priced=tariff is not None,
        rollouts=len(rollouts),
        left_out=run.rollouts.left_out,
        seconds_left=_seconds_left(pairs, owed),
        running=running,
        ordered=standing(run.path) if running else "",
        under_way=under_way(run),
        damaged=sum(journal.damaged for journal in run.journals),
        flaws=run.flaws,
    )


def why_no_pair(run: Run) -> str:
    """What became of the tasks instead, where none came to a pair; empty if one did, or if none has ended."""
    ended = [pair for _, pair in run.task_pairs() if pair]
    if any(pair.state is State.COMPLETE for pair in ended):
        return ""
    return ", ".join(f"{number} {why}" for why, number in Counter(map(_reason, ended)).most_common(_REASONS))


def _count(names: list[str]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, names)).items()))


def _reason(pair: Pair) -> str:
    return f"{pair.state}: {pair.reason}" if pair.reason else str(pair.state)


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
