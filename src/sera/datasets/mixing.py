"""Dealing samples to the parts of a recipe: exact counts, no sample twice.

Each part in turn takes the best of what it may take. Where a later part comes up short, samples are passed
along: a part gives one up that it can replace by another, so that a recipe fails only if no way of dealing
could fill it. Parts that take all there is come last.

Samples that may stand for the same parts are alike but for their rank, so everything is done by these groups.
"""

from collections import defaultdict
from collections.abc import Sequence
from heapq import heapify, heappop
from typing import NamedTuple

Rank = tuple[float, str]
"""Lower is better; ties do not occur."""


class Eligible(NamedTuple):
    """A sample and what it may stand for."""

    rank: Rank
    parts: int
    """A bit for each part."""
    key: int


def deal(wanted: Sequence[int | None], samples: Sequence[Eligible]) -> list[list[int]]:
    """The keys of the samples that each part gets, best first; fewer than wanted if there are too few."""
    table = _Table(len(wanted), samples)
    numbered = [part for part, count in enumerate(wanted) if count is not None]
    for part in numbered:
        for _ in range(wanted[part] or 0):
            if not table.take(part) and not table.pass_along(part):
                break
    for part in range(len(wanted)):
        while part not in numbered and table.take(part):
            pass
    return table.held()


class _Table:
    """Who holds what. `_free` and `_held` are by group; the first as heaps, the second in order of taking."""

    def __init__(self, parts: int, samples: Sequence[Eligible]) -> None:
        self._free: defaultdict[int, list[Eligible]] = defaultdict(list)
        self._held: list[defaultdict[int, list[Eligible]]] = [defaultdict(list) for _ in range(parts)]
        for sample in samples:
            self._free[sample.parts].append(sample)
        for group in self._free.values():
            heapify(group)

    def take(self, part: int) -> bool:
        """Give a part the best free sample it may have, if there is one."""
        groups = [group for group in self._free if group >> part & 1 and self._free[group]]
        if not groups:
            return False
        best = min(groups, key=lambda group: self._free[group][0])
        self._held[part][best].append(heappop(self._free[best]))
        return True

    def pass_along(self, part: int) -> bool:
        """Give a part a sample that another can replace, over as many hands as it takes."""
        came_from: dict[int, tuple[int, int]] = {}
        reached = [part]
        for taker in reached:
            for giver, groups in enumerate(self._held):
                group = next((group for group, held in groups.items() if held and group >> taker & 1), None)
                if giver in (part, *came_from) or group is None:
                    continue
                came_from[giver] = (taker, group)
                if self.take(giver):
                    self._hand_over(giver, part, came_from)
                    return True
                reached.append(giver)
        return False

    def held(self) -> list[list[int]]:
        """Keys by part, best first."""
        return [
            [one.key for one in sorted(one for held in groups.values() for one in held)]
            for groups in self._held
        ]

    def _hand_over(self, giver: int, last: int, came_from: dict[int, tuple[int, int]]) -> None:
        while giver != last:
            taker, group = came_from[giver]
            self._held[taker][group].append(self._held[giver][group].pop())
            giver = taker
