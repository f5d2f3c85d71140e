"""Tasks whose T1 patch another task has too: the one of the lowest index owns the patch.

Whatever order the samples come in, and whether or not they are selected: only a T1 that was submitted,
accepted and not empty has a patch to own.
"""

import hashlib
from collections.abc import Iterable

from sera.datasets.sample import Sample
from sera.records import End, Stage

TaskKey = tuple[str, str]
"""Run and task: two runs may have planned the same task."""
Claim = tuple[int, TaskKey, bytes]
"""Index and key of a task, and the patch it claims."""


def claims_patch(sample: Sample) -> bool:
    """Whether the sample has a patch to own."""
    valid = sample.end is End.SUBMITTED and sample.accepted and bool(sample.patch.strip())
    return sample.stage is Stage.T1 and valid


def claim_of(sample: Sample) -> bytes:
    """What stands for the patch that the sample owns; empty if it owns none."""
    return hashlib.sha256(sample.patch.encode()).digest()[:16] if claims_patch(sample) else b""


def duplicates(claims: Iterable[Claim]) -> set[TaskKey]:
    """The tasks that lose their claim."""
    owners: dict[bytes, TaskKey] = {}
    return {task for _, task, patch in sorted(claims) if owners.setdefault(patch, task) != task}
