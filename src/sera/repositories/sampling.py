"""From functions to tasks: a plan that depends on the seed alone and only ever grows at its end.

The order of functions. Modules compete: each draws its next function at a rate of the number it
has left to the power `module_exponent`, so a module with a hundred functions comes ten times, not
a hundred times, as often as one with a single function. Within a module functions are drawn
without replacement in proportion to their weight. Both are exponential clocks, one per module with
its own seed, so a change in one file moves no other file's functions relative to each other.

The categories. With F functions and C categories, the task at position i starts from function
i mod F, and its first category is number i + (i div lcm(F, C)) mod C of a shuffled list. Hence

- every C tasks in a row, counted from a multiple of C, use each category once;
- no pair of function and first category occurs twice in F·C tasks, after which the list is shuffled anew.

Further attempts use other categories, drawn per task. Demonstrations are used once each in every
block of as many tasks as there are, shuffled block by block.

All draws come from `random.Random` seeded by SHA-256 of the plan's seed and a label: they do not
depend on hash randomisation, the platform, or the order of anything but the arguments.
"""

import hashlib
import heapq
import math
from collections.abc import Iterator, Sequence
from random import Random

from sera.errors import UsageError
from sera.records import Function, Task, content_id
from sera.repositories.functions import FunctionIndex
from sera.settings import Config


class Weights(Config, frozen=True):
    """How much likelier a function is drawn than a plain one of its module."""

    called: float = 2.0
    """Factor for a function with a known caller: a change to it is felt elsewhere."""
    documented: float = 1.5
    """Factor for a docstring: there is a stated purpose to fall short of."""
    medium: float = 2.0
    """Factor for a body of `medium_from` to `medium_to` statements: room for a change, easy to take in."""
    medium_from: int = 5
    """Statements from which a body counts as medium."""
    medium_to: int = 40
    """Statements up to which it does."""
    module_exponent: float = 0.5
    """1 draws all functions alike whatever their module, 0 draws all modules alike."""


def plan_tasks(
    index: FunctionIndex,
    snapshot_id: str,
    categories: Sequence[str],
    demonstrations: Sequence[str],
    count: int,
    seed: int,
    attempts: int = 3,
    weights: Weights = Weights(),  # noqa: B008  (frozen)
) -> list[Task]:
    """The first `count` tasks of the plan: those of a smaller count are a prefix of a larger one's.

    `categories` of a task has `attempts` entries, all different as long as there are that many.
    Raises `UsageError` when there is nothing to draw from.
    """
    _check(index, categories, demonstrations, count, attempts)
    order = order_functions(index.sampleable, seed, weights)
    firsts = _first_categories(categories, len(order), seed)
    styles = _blocks(demonstrations, seed)
    return [
        _task(
            position,
            order[position % len(order)],
            next(firsts),
            next(styles),
            categories,
            snapshot_id,
            seed,
            attempts,
        )
        for position in range(count)
    ]


def order_functions(functions: Sequence[Function], seed: int, weights: Weights) -> list[Function]:
    """All functions once, in the order in which tasks start from them."""
    modules: dict[str, list[Function]] = {}
    for function in sorted(functions, key=lambda f: (f.path, f.line, f.name)):
        modules.setdefault(function.path, []).append(function)
    clocks = (_arrivals(path, members, seed, weights) for path, members in modules.items())
    return [function for _, _, function in heapq.merge(*clocks, key=lambda arrival: arrival[:2])]


def weight(function: Function, weights: Weights) -> float:
    """Weight of a function within its module."""
    factor = weights.called if function.callers else 1.0
    factor *= weights.documented if function.docstring else 1.0
    medium = weights.medium_from <= function.statements <= weights.medium_to
    return factor * (weights.medium if medium else 1.0)


def _arrivals(
    path: str, members: list[Function], seed: int, weights: Weights
) -> Iterator[tuple[float, str, Function]]:
    """One module's functions with the time of each: the earliest clocks of all modules go first."""
    random = _random(seed, "module", path)
    keys = {function.id: -math.log(1 - random.random()) / weight(function, weights) for function in members}
    members = sorted(members, key=lambda function: (keys[function.id], function.id))
    time = 0.0
    for left, function in zip(range(len(members), 0, -1), members, strict=True):
        time += -math.log(1 - random.random()) / left**weights.module_exponent
        yield time, path, function


def _first_categories(categories: Sequence[str], functions: int, seed: int) -> Iterator[str]:
    """The first category of every task, without end."""
    size = len(categories)
    position, period = 0, math.lcm(functions, size)
    while True:
        cycle = position // (functions * size)
        shuffled = _random(seed, "categories", cycle).sample(list(categories), size)
        for within in range(functions * size):
            yield shuffled[(within + within // period) % size]
        position += functions * size


def _blocks(names: Sequence[str], seed: int) -> Iterator[str]:
    """Every name once per block, in an order of the block's own, without end."""
    block = 0
    while True:
        yield from _random(seed, "demonstrations", block).sample(list(names), len(names))
        block += 1


def _task(
    position: int,
    function: Function,
    first: str,
    demonstration: str,
    categories: Sequence[str],
    snapshot_id: str,
    seed: int,
    attempts: int,
) -> Task:
    random = _random(seed, "task", position, function.id)
    others = [name for name in categories if name != first]
    order = [first, *random.sample(others, min(attempts - 1, len(others)))]
    chosen = tuple(order[attempt % len(order)] for attempt in range(attempts))
    own_seed = random.getrandbits(31)
    return Task(
        id=content_id(snapshot_id, function.id, chosen, demonstration, own_seed),
        index=position,
        function=function,
        categories=chosen,
        demonstration=demonstration,
        seed=own_seed,
    )


def _random(seed: int, *label: object) -> Random:
    digest = hashlib.sha256("\0".join(map(str, (seed, *label))).encode()).digest()
    return Random(int.from_bytes(digest, "big"))


def _check(
    index: FunctionIndex, categories: Sequence[str], demonstrations: Sequence[str], count: int, attempts: int
) -> None:
    for what, names in (("category", categories), ("demonstration", demonstrations)):
        if not names:
            raise UsageError(f"no {what} to plan with: name at least one")
        if len(set(names)) != len(names):
            raise UsageError(f"a {what} is named twice: each must be distinct")
    if count < 0 or attempts < 1:
        raise UsageError(f"cannot plan {count} tasks of {attempts} attempts: use at least 0 and 1")
    if not index.sampleable:
        raise UsageError(_nothing(index))


def _nothing(index: FunctionIndex) -> str:
    """Why there is no function to start from, with the counts."""
    skipped = {reason: len(paths) for reason, paths in index.skipped.items()}
    return (
        f"no function to start from: {index.files} source files were read "
        f"(not read: {_listed(skipped)}) with {len(index.functions)} functions "
        f"(left out: {_listed(index.left_out)}). "
        + (index.notice or "Name a repository with code in a language that sera reads, or relax the rules")
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "none"
