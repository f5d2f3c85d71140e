"""The arguments of a tool call: JSON text in which a value may hide behind escapes.

Cleaned arguments parse if they parsed before, hold no value in any spelling, and keep the spacing that the
model wrote wherever replacing in the text alone does it.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
MALFORMED = "[redacted arguments]"
"""Stands for malformed arguments whose escapes hide what is to be redacted: there is no telling where."""


def texts_of(arguments: str) -> Iterator[str]:
    """Every text in which something may be found: as written, and every string, key and number in it."""
    yield arguments
    if "\\" not in arguments:
        return
    try:
        tree = json.loads(
            arguments, object_pairs_hook=lambda pairs: [part for pair in pairs for part in pair]
        )
    except (ValueError, RecursionError):
        yield unescaped(arguments)
    else:
        yield from _strings(tree)


def clean_arguments(arguments: str, clean: Callable[[str], str]) -> str:
    """The arguments with `clean` applied to every string, key and number in them."""
    if all(clean(text) == text for text in texts_of(arguments)):
        return arguments
    written = clean(arguments)
    try:
        tree = json.loads(arguments)
    except (ValueError, RecursionError):
        hidden = "\\" in written and clean(plain := unescaped(written)) != plain
        return MALFORMED if hidden else written
    cleaned = _clean(tree, clean)
    return written if _same(written, cleaned) else _encode(cleaned)


def unescaped(text: str) -> str:
    """JSON's escapes undone, wherever they stand."""
    return _ESCAPE.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else _SHORT.get(found[2], found[2]), text
    )


def _same(written: str, cleaned: Any) -> bool:
    """Whether the text means the cleaned values, and only once: a key that comes twice may hide one."""
    pairs: list[tuple[str, Any]] = []

    def collect(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs.extend(found)
        return dict(found)

    try:
        tree = json.loads(written, object_pairs_hook=collect)
    except (ValueError, RecursionError):
        return False
    return bool(tree == cleaned) and len(pairs) == sum(map(len, _objects(tree)))


def _encode(tree: Any) -> str:
    text = json.dumps(tree, ensure_ascii=False)
    halves = any("\ud800" <= letter <= "\udfff" for letter in text)
    return json.dumps(tree) if halves else text


def _strings(tree: Any) -> Iterator[str]:
    match tree:
        case str():
            yield tree
        case list():
            for item in tree:
                yield from _strings(item)
        case dict():
            for key, value in tree.items():
                yield key
                yield from _strings(value)


def _objects(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _objects(item)


def _clean(tree: Any, clean: Callable[[str], str]) -> Any:
    match tree:
        case str():
            return clean(tree)
        case list():
            return [_clean(item, clean) for item in tree]
        case dict():
            return {clean(key): _clean(value, clean) for key, value in tree.items()}
        case int() if not isinstance(tree, bool):
            return tree if clean(str(tree)) == str(tree) else clean(str(tree))
        case _:
            return tree
