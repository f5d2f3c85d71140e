"""Making decided alterations: script, edits, checks, review. The second half of both rollouts."""

import posixpath
from collections.abc import Sequence

import msgspec

from sera.teachers.rehearsal.edits import Alteration
from sera.teachers.rehearsal.reproduction import script_for
from sera.teachers.rehearsal.scouting import Scene
from sera.teachers.rehearsal.sight import Outline, read_listing
from sera.teachers.rehearsal.source import Hunk, Piece
from sera.teachers.rehearsal.steps import (
    Script,
    Step,
    bash,
    create,
    insert,
    quote,
    replace,
    submit,
    undo,
    view,
)
from sera.teachers.rehearsal.tongues import tongue_of

_CONTEXT = 1
"""Unchanged lines on both sides of a replacement, so that it is found once."""


class Work(msgspec.Struct, frozen=True):
    """One alteration with what is known of its file."""

    alteration: Alteration
    outline: Outline

    @property
    def owner(self) -> str:
        """Names around the function, each with a dot behind it."""
        code = self.alteration.code
        definition = self.outline.find(code.name, code.first)
        return self.outline.owner(definition) if definition else ""


def carry_out(scene: Scene, works: Sequence[Work], reasoning: str) -> Script[None]:
    """Show, change, check and hand in."""
    main = works[0]
    script = _script_path(scene, main)
    source = script_for(main.alteration.code, main.owner, scene.at(main.alteration.code.path))
    runs = "timeout 30 sh" if script.endswith(".sh") else "PYTHONHASHSEED=0 timeout 30 python -B -W ignore"
    run = f"cd {quote(scene.workdir)} && {runs} {quote(script)}"
    yield create(script, source, reasoning, scene.say("work.script"))
    yield bash(run, scene.say("work.first_run"))
    for number, work in enumerate(works):
        yield from _change(scene, work, number)
    if scene.dice.chance(0.6, "look"):
        yield _look(scene, main)
    yield bash(run, scene.say("work.second_run"))
    yield bash(_check_command(scene, works), _last_thoughts(scene, main))
    yield submit(scene.say("work.submit"))
    phrase = "work.clean" if script.startswith(scene.workdir) else "work.clean_tmp"
    yield bash(f"rm -f {quote(script)}", scene.say(phrase))
    yield submit(scene.say("work.final"))


def _script_path(scene: Scene, work: Work) -> str:
    folder = "/tmp" if scene.dice.chance(0.25, "script folder") else scene.workdir
    ending = ".sh" if tongue_of(work.alteration.code.path) else ".py"
    stem = scene.dice.pick(("reproduce", "show", "try"), "script name")
    return posixpath.join(folder, f"{stem}_{work.alteration.code.name.strip('_')}{ending}")


def _check_command(scene: Scene, works: Sequence[Work]) -> str:
    paths = sorted({work.alteration.code.path for work in works})
    if tongue_of(paths[0]):
        return f"cd {quote(scene.workdir)} && git diff --check && git diff --stat -- {quote(*paths)}"
    code = "import ast, sys; [ast.parse(open(p, 'rb').read(), p) for p in sys.argv[1:]]; print('parses')"
    command = f"cd {quote(scene.workdir)} && python -B -c {quote(code)} {quote(*paths)}"
    return f"{command} && git status --short" if scene.dice.chance(0.5, "status") else command


def _last_thoughts(scene: Scene, work: Work) -> str:
    check = scene.say("work.check_plain" if tongue_of(work.alteration.code.path) else "work.check")
    if scene.dice.chance(0.5, "edge"):
        return f"{check} {scene.say('work.edge', name=work.alteration.code.name)}"
    return check


def _look(scene: Scene, work: Work) -> Step:
    code, hunk = work.alteration.code, work.alteration.hunks[0]
    first = max(1, code.first + hunk.start - 4)
    return view(scene.at(code.path), first, first + len(hunk.new) + 10, scene.say("work.look"))


# ── edits ─────────────────────────────────────────────────────────────────────────────────────────


def _change(scene: Scene, work: Work, number: int) -> Script[None]:
    """Make one alteration, from the bottom to the top, so that lines above keep their place."""
    alteration = work.alteration
    code, path = alteration.code, scene.at(alteration.code.path)
    lines = list(code.lines)
    reasoning = _announcement(scene, alteration, number)
    for done, hunk in enumerate(reversed(alteration.hunks)):
        after = [*lines[: hunk.start], *hunk.new, *lines[hunk.start + len(hunk.old) :]]
        for old, new in _versions(code, lines, after, hunk):
            if read_listing((yield replace(path, old, new, reasoning))):
                break
            reasoning = scene.say("work.retry", number, old)
        else:
            for _ in range(done):
                yield undo(path, scene.say("work.repair", number))
            return
        lines = after
        reasoning = scene.say("work.edit_more", number, hunk.start, path=code.path, name=code.name)
    if alteration.imports and (line := import_line(work.outline, alteration.imports)):
        why = scene.say("work.imports", module=alteration.imports, path=code.path)
        yield insert(path, line, f"import {alteration.imports}", why)


def _versions(code: Piece, lines: list[str], after: list[str], hunk: Hunk) -> list[tuple[str, str]]:
    """One replacement with ever more lines around it, until it is the only place of its kind."""
    whole = "\n".join(lines), "\n".join(after)
    between = (
        "\n".join([*code.before, whole[0], *code.after]),
        "\n".join([*code.before, whole[1], *code.after]),
    )
    return [_window(lines, hunk, _CONTEXT), whole, between]


def _announcement(scene: Scene, alteration: Alteration, number: int) -> str:
    touched = sum(len(hunk.new) + len(hunk.old) for hunk in alteration.hunks)
    path, name = alteration.code.path, alteration.code.name
    if number:
        return scene.say("work.edit_more", number, path=path, name=name)
    return scene.say("work.edit", path=path, name=name, lines=touched)


def _window(lines: list[str], hunk: Hunk, context: int) -> tuple[str, str]:
    """Old and new text of a hunk with unchanged lines around it."""
    first, last = max(0, hunk.start - context), min(len(lines), hunk.start + len(hunk.old) + context)
    while not any(line.strip() for line in lines[first:last]) and (first, last) != (0, len(lines)):
        first, last = max(0, first - 1), min(len(lines), last + 1)
    head, tail = lines[first : hunk.start], lines[hunk.start + len(hunk.old) : last]
    return "\n".join([*head, *hunk.old, *tail]), "\n".join([*head, *hunk.new, *tail])


def import_line(outline: Outline, module: str) -> int | None:
    """The line behind which `import module` goes; None if it is there already, or has no place."""
    if any(text.split() == ["import", module] for _, text in outline.imports):
        return None
    return outline.imports[0][0] if outline.imports else None


def importable(outline: Outline, module: str) -> bool:
    """Whether an alteration that needs `module` can be made in this file."""
    return not module or bool(outline.imports)
