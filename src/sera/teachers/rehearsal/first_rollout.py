"""The script of the first rollout: from a function and a concern to a change."""

import posixpath

import msgspec

from sera.teachers.rehearsal.carrying_out import Work, carry_out, importable
from sera.teachers.rehearsal.edits import Alteration, candidates, every_kind, make
from sera.teachers.rehearsal.scouting import (
    Scene,
    find_definitions,
    find_uses,
    is_test,
    outline_of,
    read_function,
)
from sera.teachers.rehearsal.sight import Definition, Hit, Outline
from sera.teachers.rehearsal.source import Piece
from sera.teachers.rehearsal.steps import Script, bash, quote, submit, view_directory
from sera.teachers.rehearsal.tongues import named_by, tongue_of
from sera.teachers.rehearsal.voice import sentence

_TWO_PLACES = 0.35
"""How often a second place is looked for. It is not always found: see `docs/rehearsal.md`."""
_NEIGHBOURS = 3


class Brief(msgspec.Struct, frozen=True):
    """What a T1 request says."""

    function: str
    """Qualified name."""
    path: str
    line: int
    concern: str
    category: str
    """Name of the concern's category, or empty for a concern of somebody else's."""

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.function.rsplit(".", 1)[-1]


def first_rollout(brief: Brief, scene: Scene) -> Script[None]:
    """Read, decide, change."""
    yield from _surroundings(brief, scene)
    path, outline, definition = yield from _locate(brief, scene)
    works: list[Work] = []
    if definition:
        code = yield from read_function(scene, path, outline, definition)
        works = yield from _decide(brief, scene, outline, definition, code)
    if not works:
        yield submit(scene.say("t1.nothing"))
        return
    main = works[0].alteration
    why = sentence(
        scene.dice.pick(every_kind()[main.kind].why, "why").format(name=main.code.name, target=main.target)
    )
    yield from carry_out(scene, works, scene.say("t1.decide", name=main.code.name, why=why))


def _surroundings(brief: Brief, scene: Scene) -> Script[None]:
    folder = posixpath.dirname(brief.path)
    reasoning = scene.say("t1.surroundings", path=brief.path)
    match scene.dice.pick(("none", "ls", "view"), "surroundings"):
        case "ls":
            yield bash(f"ls {quote(scene.at(folder))}", reasoning)
        case "view":
            yield view_directory(scene.at(folder), reasoning)


def _locate(brief: Brief, scene: Scene) -> Script[tuple[str, Outline, Definition | None]]:
    begin = scene.say("t1.begin", name=brief.function, path=brief.path, concern=brief.concern)
    outline = yield from outline_of(scene, brief.path, begin)
    if definition := outline.find(brief.name, brief.line):
        return brief.path, outline, definition
    hits = yield from find_definitions(scene, [brief.name], scene.say("t1.lost", name=brief.name), brief.path)
    for hit in [hit for hit in hits if defines(hit, brief.name)][:1]:
        outline = yield from outline_of(scene, hit.path, "")
        return hit.path, outline, outline.find(brief.name, hit.line)
    return brief.path, outline, None


def _decide(
    brief: Brief, scene: Scene, outline: Outline, definition: Definition, code: Piece | None
) -> Script[list[Work]]:
    uses: list[Hit] = []
    if code and scene.dice.chance(0.85, "uses"):
        uses = yield from find_uses(scene, brief.name, scene.say("t1.callers", name=brief.name), brief.path)
    order = candidates(brief.category, scene.dice, brief.path)
    main = first_that_applies(order, code, outline) if code else None
    if main is None:
        return (yield from _nearby(brief, scene, outline, definition, order))
    works = [Work(main, outline)]
    if scene.dice.chance(_TWO_PLACES, "two places"):
        works += yield from _second(scene, works[0], definition, uses)
    return works


def first_that_applies(order: list[str], code: Piece, outline: Outline) -> Alteration | None:
    """The first kind of `order` that can be made."""
    for kind in order:
        if (made := make(kind, code)) and importable(outline, made.imports):
            return made
    return None


def defines(hit: Hit, name: str) -> bool:
    """Whether a line that was found defines the function `name`."""
    if tongue_of(hit.path):
        return named_by(hit.text) == ("def", name)
    return f"def {name}" in hit.text


def _nearby(
    brief: Brief, scene: Scene, outline: Outline, definition: Definition, order: list[str]
) -> Script[list[Work]]:
    """An alteration of another function of the file, where the one asked for offers none."""
    others = [other for other in neighbours(outline, definition) if other.name != brief.name]
    for other in others[:_NEIGHBOURS]:
        reasoning = scene.say("t1.elsewhere", other, name=brief.name, other=other.name)
        code = yield from read_function(scene, brief.path, outline, other, reasoning)
        if code and (made := first_that_applies(order, code, outline)):
            return [Work(made, outline)]
    return []


def neighbours(outline: Outline, definition: Definition) -> list[Definition]:
    """Other functions of the file, the nearest first; none inside or around `definition`."""
    end = outline.after(definition)
    others = [
        d
        for d in outline.definitions
        if d.keyword == "def" and d.indent <= definition.indent and not definition.line <= d.line <= end
    ]
    others = [d for d in others if outline.after(d) < definition.line or d.line > end]
    return sorted(others, key=lambda d: abs(d.line - definition.line))


def _second(scene: Scene, main: Work, definition: Definition, uses: list[Hit]) -> Script[list[Work]]:
    """A second place that the same change makes sense in: a caller in another file, or a neighbour."""
    code = main.alteration.code
    kind = main.alteration.kind
    order = [kind, *(k for k in candidates("", scene.dice, code.path) if k != "remark")]
    elsewhere = [
        h
        for h in uses
        if h.path != code.path and not is_test(h.path) and "def " not in h.text and not defines(h, code.name)
    ]
    if elsewhere and scene.dice.chance(0.5, "caller"):
        hit = scene.dice.pick(elsewhere, "which caller")
        reasoning = scene.say("t1.second", name=code.name, other=posixpath.basename(hit.path))
        outline = yield from outline_of(scene, hit.path, reasoning)
        before = [
            d for d in outline.definitions if d.keyword == "def" and d.line < hit.line <= outline.after(d)
        ]
        places = [(hit.path, outline, before[-1])] if before else []
    else:
        places = [(code.path, main.outline, d) for d in neighbours(main.outline, definition)[:1]]
    for path, outline, other in places:
        reasoning = scene.say("t1.second", path, name=code.name, other=other.name)
        second = yield from read_function(scene, path, outline, other, reasoning)
        made = first_that_applies(order, second, outline) if second and second.name != code.name else None
        if made and not made.imports:
            return [Work(made, outline)]
    return []
