"""How far two patches agree, line by line: the paper's measure as it is, and stricter ones beside it.

`recall` follows the SERA paper (arXiv 2601.20789), section on soft verification, so that figures can be
compared. Of a diff's whole text it takes

- every line that starts with `+` or `-`, cut at newlines only, sign, indentation and trailing space kept;
- but none that starts with `+++` or `---`, which it holds to be file headers;
- and none that is blank after its sign.

These form a multiset; which file or hunk a line stands in plays no part. With P1 of patch `a` and P2 of `b`,
recall is |P1 ∩ P2| / |P1|, and 0 if `a` has no such line. Two flaws belong to the definition: a removed
SQL comment `-- x` reads `--- x` and is lost, and renames, mode changes and binary changes count as nothing.

`file_recall` is the same ratio over what a diff parser finds. A line belongs to its file, under the path
after a rename; a rename, a change of mode, a change of a binary file, and the creation or deletion of an
empty file are one item each. Binary content is not compared. A diff the parser refuses has no items, so a
`file_recall` with one is 0; it never raises.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from sera.records import Agreement

_NOWHERE = "/dev/null"


class LineMatch(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a patch that `recall` counts, and whether the other patch has it too."""

    sign: str
    """`+` or `-`."""
    text: str
    """The line without its sign, indentation kept."""
    file: str
    """Path after a rename; empty if the parser refused the diff."""
    matched: bool


class _Item(NamedTuple):
    """One unit of a parsed diff: a line, or a change that has no lines."""

    kind: str
    path: str
    text: str = ""


def compare(a: str, b: str) -> Agreement:
    """How far unified diff `b` repeats unified diff `a`. Any text is accepted, as is none."""
    lines_a = Counter(line for _, line in _changed_lines(a))
    lines_b = Counter(line for _, line in _changed_lines(b))
    common = (lines_a & lines_b).total()
    total_a, total_b = lines_a.total(), lines_b.total()
    items_a, items_b = _items(a), _items(b)
    return Agreement(
        recall=_ratio(common, total_a),
        precision=_ratio(common, total_b),
        f1=_ratio(2 * common, total_a + total_b),
        file_recall=_ratio((items_a & items_b).total(), items_a.total()),
        lines_a=total_a,
        lines_b=total_b,
        common=common,
    )


def explain(a: str, b: str) -> list[LineMatch]:
    """The lines of `a` behind `compare(a, b).recall`, in their order; `matched` ones add up to `common`.

    Of equal lines the first are matched. For the lines that `b` added, ask the other way round.
    """
    left = Counter(line for _, line in _changed_lines(b))
    paths = {line.diff_line_no: file.path for file in _parse(a) for hunk in file for line in hunk}
    matches = []
    for number, line in _changed_lines(a):
        matched = left[line] > 0
        left[line] -= matched
        path = paths.get(number, "")
        matches.append(LineMatch(sign=line[0], text=line[1:], file=path, matched=matched))
    return matches


def verification(recall: float) -> str:
    """The paper's name for a recall in 0…1: `hard` (1), `soft` (between) or `unverified` (0)."""
    if recall >= 1:
        return "hard"
    return "soft" if recall > 0 else "unverified"


def _changed_lines(diff: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line with its sign) of what the paper's measure counts."""
    for number, line in enumerate(diff.split("\n"), 1):
        if line.startswith(("+", "-")) and not line.startswith(("+++", "---")) and line[1:].strip():
            yield number, line


def _parse(diff: str) -> list[PatchedFile]:
    try:
        return list(PatchSet(diff))
    except UnidiffParseError:
        return []


def _items(diff: str) -> Counter[_Item]:
    return Counter(item for file in _parse(diff) for item in _file_items(file))


def _file_items(file: PatchedFile) -> Iterator[_Item]:
    source, target, path = file.source_file, file.target_file, file.path
    if file.is_rename:
        yield _Item("rename", path, source)
    if file.source_mode and file.target_mode and file.source_mode != file.target_mode:
        yield _Item("mode", path, file.target_mode)
    if file.is_binary_file:
        yield _Item("binary", path)
    elif not file and _NOWHERE in (source, target):
        yield _Item("created" if source == _NOWHERE else "deleted", path)
    for hunk in file:
        for line in hunk:
            text = line.value.removesuffix("\n")
            if line.line_type in "+-" and text.strip():
                yield _Item(line.line_type, path, text)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
