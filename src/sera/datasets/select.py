"""Which samples are taken: a chain of filters, each with its reason, and the first reason counts.

A filter is a function of one candidate; add one by putting it into `filters`. Whether a patch was seen
before takes all samples to know, and so comes last: see `Duplicates`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import StrEnum

from sera.datasets.candidate import Candidate
from sera.datasets.config import DatasetConfig
from sera.datasets.sample import Sample
from sera.records import End, Stage


class Reason(StrEnum):
    """Why a sample was not taken."""

    OTHER_STAGE = "other_stage"
    """Its stage is not among `stages`."""
    NOT_SUBMITTED = "not_submitted"
    """The agent did not hand it in."""
    REFUSED = "refused"
    """The self-check did not accept the T1."""
    EMPTY_PATCH = "empty_patch"
    """It was handed in without a change."""
    FINDINGS = "findings"
    """The audit found something of `exclude_findings`."""
    LOW_RECALL = "low_recall"
    """The recall of the T2 is below `min_recall`."""
    LONG_PATCH = "long_patch"
    """The patch has more changed lines than `max_patch_lines`."""
    LONG_TOOL_OUTPUT = "long_tool_output"
    """The tools' answers are longer than `max_tool_tokens` on average."""
    TRUNCATED = "truncated"
    """Less than `min_ratio` of the conversation fits `max_tokens`."""
    NOTHING_TO_LEARN = "nothing_to_learn"
    """No turn of what fits can be trained on."""
    DUPLICATE = "duplicate"
    """An earlier task has the same T1 patch; the whole task goes."""


Filter = Callable[[Candidate], Reason | None]
"""None keeps the candidate."""


def filters(config: DatasetConfig) -> tuple[Filter, ...]:
    """The chain, cheap filters first."""
    return (
        _when(Reason.OTHER_STAGE, lambda c: c.sample.stage not in config.stages),
        _when(Reason.NOT_SUBMITTED, lambda c: c.sample.end is not End.SUBMITTED),
        _when(Reason.REFUSED, lambda c: c.sample.stage is Stage.T1 and not c.sample.accepted),
        _when(Reason.EMPTY_PATCH, lambda c: not c.sample.patch.strip()),
        _when(Reason.FINDINGS, lambda c: _was_found(c.sample, config)),
        _when(Reason.LOW_RECALL, lambda c: c.sample.stage is Stage.T2 and c.recall < config.min_recall),
        _when(Reason.LONG_PATCH, lambda c: c.patch_lines > config.max_patch_lines),
        _when(Reason.LONG_TOOL_OUTPUT, lambda c: c.tool_tokens > config.max_tool_tokens),
        _when(Reason.TRUNCATED, lambda c: c.fit.ratio < config.min_ratio),
        _when(Reason.NOTHING_TO_LEARN, lambda c: not any(turn.train for turn in c.kept)),
    )


def _when(reason: Reason, refused: Callable[[Candidate], bool]) -> Filter:
    return lambda candidate: reason if refused(candidate) else None


def _was_found(sample: Sample, config: DatasetConfig) -> bool:
    excluded = set(config.exclude_findings)
    return any(finding.kind in excluded or finding.severity in excluded for finding in sample.findings)


def first_reason(candidate: Candidate, chain: Iterable[Filter]) -> Reason | None:
    """The reason of the first filter that refuses, or None; later filters are not asked."""
    return next((reason for step in chain if (reason := step(candidate))), None)


TaskKey = tuple[str, str]
"""Run and task."""


def task_key(sample: Sample) -> TaskKey:
    """A task within its run: two runs may have planned the same one."""
    return sample.source.run, sample.task


class Duplicates:
    """Tasks whose T1 patch another task has too. The one of the lowest index owns the patch, whatever
    order the samples come in; only a T1 that was submitted, accepted and not empty has one to own.
    """

    def __init__(self) -> None:
        self._claims: defaultdict[bytes, set[tuple[int, TaskKey]]] = defaultdict(set)

    def see(self, sample: Sample) -> None:
        """Note the sample's claim, if it has one. To be called with every sample, also refused ones."""
        valid = sample.end is End.SUBMITTED and sample.accepted and sample.patch.strip()
        if sample.stage is Stage.T1 and valid:
            patch = hashlib.sha256(sample.patch.encode()).digest()
            self._claims[patch].add((sample.index, task_key(sample)))

    def tasks(self) -> frozenset[TaskKey]:
        """The tasks that lose their claim."""
        return frozenset(key for claims in self._claims.values() for _, key in sorted(claims)[1:])
