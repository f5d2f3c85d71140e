"""What needs all samples to be known: duplicates, caps, and the recipe. In this order:

    equal T1 patches ─► nearly equal ones ─► nearly equal issue texts ─► caps ─► recipe ─► order of the rows

Every step takes samples away from the next and gives them a reason. Whatever is chosen is chosen by content
and seed, never by the order in which samples were read.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from sera.datasets.candidate import Figures
from sera.datasets.config import DatasetConfig
from sera.datasets.decide import Decision
from sera.datasets.mixing import Eligible, Rank, deal
from sera.datasets.recipe import Part
from sera.datasets.sample import Source
from sera.datasets.selection.balance import over_cap
from sera.datasets.selection.duplicates import Claim, TaskKey, duplicates
from sera.datasets.selection.near import near_duplicates
from sera.datasets.selection.reasons import Reason
from sera.records import content_id


class Settled(NamedTuple):
    """All samples, parted."""

    rows: list[Decision]
    """In the order of the dataset."""
    rejected: list[Figures]
    """By index, each with its reason."""
    parts: list[int]
    """Samples that each part of the recipe got."""


def settle(
    decisions: Sequence[Decision], config: DatasetConfig, parts: Sequence[Part], sources: Sequence[Source]
) -> Settled:
    """Part the decisions of all samples."""
    crowd = _Crowd(decisions, config)
    crowd.drop_tasks(duplicates(crowd.claims()), Reason.DUPLICATE)
    if config.near.patches < 1:
        signed = ((claim[1], crowd.patches[claim[1]]) for claim in sorted(crowd.claims()))
        crowd.drop_tasks(near_duplicates(signed, config.near.patches), Reason.NEAR_PATCH)
    if config.near.issues < 1:
        issues = ((number, decisions[number].issue_signature) for number in crowd.in_sequence())
        crowd.drop(near_duplicates(issues, config.near.issues), Reason.NEAR_ISSUE)
    if caps := config.balance.caps():
        repositories = {source.run: source.repository for source in sources}
        groups = ((number, _groups(decisions[number], repositories)) for number in crowd.by_rank())
        crowd.drop(over_cap(groups, caps), Reason.OVER_CAP)
    dealt = deal([part.count for part in parts], crowd.eligible())
    crowd.keep_only({number for numbers in dealt for number in numbers})
    return Settled(crowd.rows(), crowd.rejected(), [len(numbers) for numbers in dealt])


class _Crowd:
    """The samples by number, and the reasons of those that are out."""

    def __init__(self, decisions: Sequence[Decision], config: DatasetConfig) -> None:
        self._decisions = decisions
        self._config = config
        self._in = [number for number, decision in enumerate(decisions) if decision.parts]
        self._reasons: dict[int, Reason] = {}
        self._lost: set[TaskKey] = set()
        self.patches = {_task(d): d.patch_signature for d in decisions if d.patch_signature}

    def claims(self) -> list[Claim]:
        """Every T1 patch that some task owns, unless the task has lost it; also of samples that are out."""
        return [
            (decision.figures.index, _task(decision), decision.claim)
            for decision in self._decisions
            if decision.claim and _task(decision) not in self._lost
        ]

    def drop_tasks(self, tasks: Iterable[TaskKey], reason: Reason) -> None:
        lost = set(tasks)
        self._lost |= lost
        self.drop((number for number in self._in if _task(self._decisions[number]) in lost), reason)

    def drop(self, numbers: Iterable[int], reason: Reason) -> None:
        self._reasons |= dict.fromkeys(numbers, reason)
        self._in = [number for number in self._in if number not in self._reasons]

    def keep_only(self, numbers: set[int]) -> None:
        self.drop([number for number in self._in if number not in numbers], Reason.SURPLUS)

    def in_sequence(self) -> list[int]:
        """Those that are in, in the order of the plan."""
        return sorted(self._in, key=lambda number: self._decisions[number].figures.sequence)

    def by_rank(self) -> list[int]:
        """Those that are in, in the order in which they are preferred."""
        return sorted(self._in, key=self._rank)

    def eligible(self) -> list[Eligible]:
        return [Eligible(self._rank(number), self._decisions[number].parts, number) for number in self._in]

    def rows(self) -> list[Decision]:
        if self._config.truncation == "random":
            return [self._decisions[number] for number in self.by_rank()]
        return sorted(
            (self._decisions[number] for number in self._in),
            key=lambda decision: (-(decision.figures.ratio or 0), *decision.figures.sequence),
        )

    def rejected(self) -> list[Figures]:
        found = [decision.figures for decision in self._decisions if not decision.parts]
        for number, reason in self._reasons.items():
            found.append(msgspec.structs.replace(self._decisions[number].figures, reason=reason))
        return sorted(found, key=lambda figures: figures.sequence)

    def _rank(self, number: int) -> Rank:
        """Ordered truncation prefers whole conversations, then high ratios; equals go by content and seed."""
        figures = self._decisions[number].figures
        preferred = 0.0 if self._config.truncation == "random" else -(figures.ratio or 0)
        return preferred, content_id(self._config.seed, figures.run, figures.id)


def _task(decision: Decision) -> TaskKey:
    return decision.figures.run, decision.figures.task


def _groups(decision: Decision, repositories: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """The group of each kind that a sample belongs to."""
    figures = decision.figures
    repository = repositories[figures.run]
    return {
        "category": (figures.stage, decision.category),
        "module": (figures.stage, repository, decision.path),
        "function": (figures.stage, repository, decision.path, decision.function),
    }
