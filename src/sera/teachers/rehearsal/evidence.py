"""What a finished rollout changed, found in its messages alone.

Kinds of edit are functions of the source, so the kind is recovered by making each one again from the
listing seen before the edit, and comparing. The seed of the rollout is not needed.
"""

import re
from collections.abc import Sequence

import msgspec

from sera.teachers.rehearsal.conversation import Turn
from sera.teachers.rehearsal.edits import Alteration, every_kind, make
from sera.teachers.rehearsal.sight import OUTLINE, Definition, Outline, read_listing, read_outline
from sera.teachers.rehearsal.source import Piece, read_code
from sera.teachers.rehearsal.steps import BASH, EDITOR
from sera.teachers.rehearsal.tongues import OUTLINE as PLAIN_OUTLINE

_MEASURED = re.compile(r"wc -l (\S+)")


class Finding(msgspec.Struct, frozen=True):
    """One function that was changed, and how."""

    alteration: Alteration
    path: str
    """From the repository root."""
    owner: str
    """Names around the function, a dot behind each."""
    line: int
    """Where its `def` stood before the change."""
    ambiguous: bool
    """Whether the file holds several functions of its name."""

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.alteration.code.name

    @property
    def qualified(self) -> str:
        """With the names around it."""
        return self.owner + self.name


class _File(msgspec.Struct):
    """What was seen of one file before it was edited, and the replacements that succeeded."""

    seen: dict[int, str] = {}
    replaced: list[tuple[str, str]] = []


def find_changes(turns: Sequence[Turn], workdir: str) -> list[Finding]:
    """The changed functions, in the order in which their files were first edited."""
    files, outlines = _gather(turns, workdir)
    findings = []
    for path, file in files.items():
        if file.replaced and file.seen:
            findings += _in_file(path, file, outlines.get(path) or _outline(path, file.seen))
    return findings


def _gather(turns: Sequence[Turn], workdir: str) -> tuple[dict[str, _File], dict[str, Outline]]:
    files: dict[str, _File] = {}
    outlines: dict[str, Outline] = {}
    order: dict[str, _File] = {}
    for turn in turns:
        if turn.tool == BASH and any(o in str(turn.arguments["command"]) for o in (OUTLINE, PLAIN_OUTLINE)):
            if named := _MEASURED.search(turn.arguments["command"]):
                outlines[named[1]] = read_outline(turn.observation, named[1])
        elif turn.tool == EDITOR:
            path = str(turn.arguments["path"]).removeprefix(workdir).lstrip("/")
            file = files.setdefault(path, _File({}, []))
            command = turn.arguments["command"]
            if command == "view" and not file.replaced:
                file.seen |= read_listing(turn.observation)
            elif command == "str_replace" and read_listing(turn.observation):
                old, new = (str(turn.arguments.get(key, "")) for key in ("old_str", "new_str"))
                file.replaced.append((old, new))
                order.setdefault(path, file)
    return order, outlines


def _outline(path: str, seen: dict[int, str]) -> Outline:
    return read_outline("\n".join(f"{number}:{text}" for number, text in sorted(seen.items())), path)


def _in_file(path: str, file: _File, outline: Outline) -> list[Finding]:
    """Of a function inside a changed one, only the outer is found: the lines are the same."""
    findings: list[Finding] = []
    covered = 0
    for definition in outline.definitions:
        if definition.keyword == "def" and definition.line in file.seen and definition.line > covered:
            code = read_code(path, file.seen, definition.line, definition.name, outline.length)
            if code and (alteration := _recover(code, file.replaced)):
                findings.append(_finding(alteration, path, outline, definition))
                covered = code.first + len(code.lines) - 1
    return findings


def _finding(alteration: Alteration, path: str, outline: Outline, definition: Definition) -> Finding:
    return Finding(
        alteration, path, outline.owner(definition), definition.line, outline.ambiguous(definition.name)
    )


def _recover(code: Piece, replaced: list[tuple[str, str]]) -> Alteration | None:
    """The kind whose every changed run of lines was put into the file, the largest such."""
    if not any(old in code.text or code.lines[0] in old for old, _ in replaced):
        return None
    made = [m for kind in every_kind() if (m := make(kind, code)) and _was_made(m, replaced)]
    return max(made, key=lambda m: sum(len(hunk.new) for hunk in m.hunks), default=None)


def _was_made(alteration: Alteration, replaced: list[tuple[str, str]]) -> bool:
    return all(
        any(
            _holds(old, hunk.old) and _holds(new, hunk.new) and not _holds(old, hunk.new)
            for old, new in replaced
        )
        for hunk in alteration.hunks
    )


def _holds(text: str, lines: tuple[str, ...]) -> bool:
    return f"\n{chr(10).join(lines)}\n" in f"\n{text}\n" if lines else True
