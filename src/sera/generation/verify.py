"""Recall of many pairs of patches at once: those of two files of predictions, by instance."""

from collections.abc import Mapping

import msgspec

from sera.generation.recall import compare, verification
from sera.records import Agreement, Record

_MEASURES = ("recall", "precision", "f1", "file_recall", "place_recall")


class Verified(Record, frozen=True, kw_only=True):
    """One instance that both files have."""

    instance: str
    verification: str
    """`hard`, `soft` or `unverified`."""
    agreement: Agreement


class Verification(Record, frozen=True, kw_only=True):
    """Two files of predictions, compared."""

    instances: tuple[Verified, ...]
    """Those that both have, in the order of the first."""
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    mean: dict[str, float]
    """Measure → mean over `instances`; empty if there is none."""
    classes: dict[str, int]
    """`hard`, `soft` and `unverified` → instances."""


def verify(first: Mapping[str, str], second: Mapping[str, str]) -> Verification:
    """Compare the patches of every instance that both have; `first` holds the T1s, whose lines are looked
    for in `second`. Instances of one file only are named and belong to no mean."""
    both = [(name, compare(patch, second[name])) for name, patch in first.items() if name in second]
    rows = tuple(
        Verified(instance=name, verification=verification(agreement.recall), agreement=agreement)
        for name, agreement in both
    )
    kinds = [row.verification for row in rows]
    return Verification(
        instances=rows,
        only_first=tuple(name for name in first if name not in second),
        only_second=tuple(name for name in second if name not in first),
        mean={measure: _mean(rows, measure) for measure in _MEASURES} if rows else {},
        classes={kind: kinds.count(kind) for kind in ("hard", "soft", "unverified")},
    )


def _mean(rows: tuple[Verified, ...], measure: str) -> float:
    values: list[float] = [msgspec.structs.asdict(row.agreement)[measure] for row in rows]
    return sum(values) / len(values)
