"""Caps for each category, module or function, exact and by seed.

Samples are looked at in the order in which they are preferred: as truncation has it, equals as the seed
draws them. One is left out if its category, module or function
already has as many in its stage as it may. So no kind exceeds its cap, and no sample is left out that would
still fit.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

K = TypeVar("K")


def over_cap(samples: Iterable[tuple[K, Mapping[str, tuple[str, ...]]]], caps: Mapping[str, int]) -> list[K]:
    """The keys of samples that are one too many. Each sample says of which group of every kind it is."""
    taken: Counter[tuple[str, tuple[str, ...]]] = Counter()
    lost = []
    for key, groups in samples:
        own = [(kind, groups[kind]) for kind in caps]
        if any(taken[group] >= caps[group[0]] for group in own):
            lost.append(key)
        else:
            taken.update(own)
    return lost
