"""The split: what is kept for the evaluation, dealt by the seed in whole modules or whole functions.

The same entries stand in `held_out.txt`, which `sera dataset build` and `sera generate` obey. A diff tells
the last part of a function's name and no more, so functions of one file with that part in common are dealt
together.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from sera.evaluation.tasks.config import SplitConfig
from sera.evaluation.tasks.record import Split
from sera.records import Function
from sera.repositories.held_out import ends_with_mark
from sera.repositories.history import Bound

_LEAST_MODULES = 8


def deal(functions: Sequence[Function], config: SplitConfig, seed: int) -> Split:
    """Deal the functions that tests call. Something is always kept, if there is anything."""
    by_module = len({one.path for one in functions}) >= _LEAST_MODULES
    unit = ("module" if by_module else "function") if config.unit == "auto" else config.unit
    units: dict[str, int] = defaultdict(int)
    for function in functions:
        units[unit_of(function, unit)] += 1
    wanted, kept = config.share * len(functions), list[str]()
    order = sorted(units, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
    while order and (not kept or sum(units[name] for name in kept) < wanted):
        kept.append(order.pop(0))
    return Split(unit=unit, evaluation=tuple(sorted(kept)), training=tuple(sorted(order)))


def unit_of(function: Function, unit: str) -> str:
    """The unit that a function belongs to, as an entry of `held_out.txt`."""
    if unit == "module":
        return function.path
    return f"{function.path}:{function.name.rpartition('.')[2]}"


def held_out(name: str, split: Split, changed: Iterable[str] = ()) -> str:
    """The file that says what must not be trained on of the repository `name`. `changed` are further entries:
    what commits of the evaluation changed."""
    entries = set(split.evaluation)
    entries |= {entry for entry in changed if entry.partition(":")[0] not in entries}
    head = "# Kept for the evaluation: nothing that starts here, or changes this, may be trained on.\n"
    bound = [Bound(split.training_commit, name).entry] if split.training_commit else []
    return head + ends_with_mark([*bound, *sorted(entries)])
