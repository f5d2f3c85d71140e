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
empty file are one item each. Binary content is not compared.

`place_recall` asks for the place too. Both patches start from one tree, so that a removed line is told by
its file and number there, and an added one by the line it follows: code that both moved, but to different
places, is the same to the other two figures and not to this one.

A diff the parser refuses has no items, so that these two are 0 with one; they never raise.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
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
    place: int = 0
    """Line of the file before the change: the one removed, or the one that the added follows."""


def compare(a: str, b: str) -> Agreement:
    """How far unified diff `b` repeats unified diff `a`. Any text is accepted, as is none."""
    lines_a = Counter(line for _, line in _changed_lines(a))
    lines_b = Counter(line for _, line in _changed_lines(b))
    common = (lines_a & lines_b).total()
    total_a, total_b = lines_a.total(), lines_b.total()
    files_a, files_b = _parse(a), _parse(b)
    return Agreement(
        recall=_ratio(common, total_a),
        precision=_ratio(common, total_b),
        f1=_ratio(2 * common, total_a + total_b),
        file_recall=_share(_in_files(files_a), _in_files(files_b)),
        place_recall=_share(_in_places(files_a), _in_places(files_b)),
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


def _in_files(files: list[PatchedFile]) -> Counter[_Item]:
    lines = (item._replace(place=0) for file in files for item in _lines(file, file.path))
    return Counter(chain(lines, *map(_whole, files)))


def _in_places(files: list[PatchedFile]) -> Counter[_Item]:
    return Counter(chain(*(_lines(file, _path_before(file)) for file in files), *map(_whole, files)))


def _path_before(file: PatchedFile) -> str:
    return file.source_file.removeprefix("a/") if file.is_rename else file.path


def _whole(file: PatchedFile) -> Iterator[_Item]:
    """Changes of a file that have no lines."""
    source, target, path = file.source_file, file.target_file, file.path
    if file.is_rename:
        yield _Item("rename", path, source)
    if file.source_mode and file.target_mode and file.source_mode != file.target_mode:
        yield _Item("mode", path, file.target_mode)
    if file.is_binary_file:
        yield _Item("binary", path)
    elif not file and _NOWHERE in (source, target):
        yield _Item("created" if source == _NOWHERE else "deleted", path)


def _lines(file: PatchedFile, path: str) -> Iterator[_Item]:
    for hunk in file:
        place = hunk.source_start - bool(hunk.source_length)
        for line in hunk:
            place += line.line_type in " -"
            text = line.value.removesuffix("\n")
            if line.line_type in "+-" and text.strip():
                yield _Item(line.line_type, path, text, place)


def _share(items: Counter[_Item], others: Counter[_Item]) -> float:
    return _ratio((items & others).total(), items.total())


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
