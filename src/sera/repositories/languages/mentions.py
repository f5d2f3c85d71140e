"""Which functions call which, where nothing but names is known.

A call counts for a function if it is the only one outside tests, in all files of its language, that
bears the called name, and the name is none of `queries/common.txt`, which the languages' own libraries
use. So a caller named here may be mistaken where another library has the name, and many are missed.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files as package_files

from sera.repositories.callers import CALLERS
from sera.repositories.languages.scan import Found


def find_mentions(found: Iterable[tuple[str, Found]], tests: set[Found]) -> dict[Found, tuple[str, ...]]:
    """Function → `path:qualified name` of its callers, those outside tests first. `found` has every
    function after the path of its file."""
    places = list(found)
    named: defaultdict[str, list[Found]] = defaultdict(list)
    for _, function in places:
        if function not in tests:
            named[function.name].append(function)
    targets = {name: bearers[0] for name, bearers in named.items() if len(bearers) == 1}
    targets = {name: target for name, target in targets.items() if name not in _common()}
    callers: defaultdict[Found, dict[str, tuple[bool, str, int]]] = defaultdict(dict)
    for path, function in places:
        order = (function in tests, path, function.line)
        for name in function.calls & targets.keys():
            if targets[name] is not function:
                callers[targets[name]].setdefault(f"{path}:{function.qualname}", order)
    return {
        target: tuple(sorted(labels, key=lambda label: labels[label])[:CALLERS])
        for target, labels in callers.items()
    }


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    """Names that say nothing about whose they are."""
    text = (package_files("sera.repositories.languages") / "queries" / "common.txt").read_text("utf-8")
    return frozenset(text.split())
