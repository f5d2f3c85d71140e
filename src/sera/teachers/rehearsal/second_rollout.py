"""The script of the second rollout: from an issue text alone to a change.

How faithfully it repeats the first one is decided beforehand by the dice. It can always tell what an
exact repetition would be, because kinds of edit are functions of the source and of nothing else.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from sera.teachers.rehearsal.carrying_out import Work, carry_out, importable
from sera.teachers.rehearsal.clues import Clues, Place, read_clues
from sera.teachers.rehearsal.edits import Alteration, candidates, every_kind, make
from sera.teachers.rehearsal.first_rollout import defines, first_that_applies, neighbours
from sera.teachers.rehearsal.scouting import (
    Scene,
    find_definitions,
    find_uses,
    find_words,
    is_test,
    outline_of,
    read_function,
)
from sera.teachers.rehearsal.sight import Definition, Hit, Outline
from sera.teachers.rehearsal.source import Code, Hunk, Piece, parse_module
from sera.teachers.rehearsal.steps import Script, bash, quote, submit
from sera.teachers.rehearsal.voice import sentence

_BY_WORDS = 0.4
"""How often the text's own words are looked for first. They are hardly ever found, so that trajectories show
how one goes on from a search that brought nothing."""
_PLACES = 2
_NEIGHBOURS = 4


class Fidelity(StrEnum):
    """How far the second change is meant to agree with the first."""

    SAME = "same"
    PARTIAL = "partial"
    ELSEWHERE = "elsewhere"


class _Spot(msgspec.Struct, frozen=True):
    """A function that was found and read."""

    code: Piece
    outline: Outline
    definition: Definition


def second_rollout(text: str, scene: Scene, fidelity: Fidelity) -> Script[None]:
    """Find, read, decide, change."""
    clues = read_clues(text)
    spots, wanted = yield from _locate(clues, scene)
    if not spots:
        yield submit(scene.say("t1.nothing"))
        return
    if scene.dice.chance(0.5, "uses"):
        code = spots[0].code
        yield from find_uses(scene, code.name, scene.say("t1.callers", name=code.name), code.path)
    repetition = _repetition(spots, wanted, clues, scene)
    works, remark = repetition, ""
    if fidelity is Fidelity.PARTIAL:
        works, remark = _partly(repetition, scene), scene.say("t2.partly")
    if fidelity is Fidelity.ELSEWHERE:
        works, remark = yield from _aside(spots[0], repetition, scene)
    if not works:
        yield submit(scene.say("t1.nothing"))
        return
    yield from carry_out(scene, works, f"{_reason(works[0], scene)} {remark}".strip())


def _reason(work: Work, scene: Scene) -> str:
    made = work.alteration
    why = sentence(
        scene.dice.pick(every_kind()[made.kind].why, "why").format(name=made.code.name, target=made.target)
    )
    return scene.say("t2.decide", name=made.code.name, why=why)


# ── finding ───────────────────────────────────────────────────────────────────────────────────────


def _locate(clues: Clues, scene: Scene) -> Script[tuple[list[_Spot], list[Place]]]:
    places = clues.places or tuple(Place(name) for name in clues.names)
    names = list(dict.fromkeys(place.name for place in places))
    if not names:
        yield bash(f"cd {quote(scene.workdir)} && ls", scene.say("t2.nothing_named"))
        return [], []
    like = next(iter([*(place.path for place in places if place.path), *clues.paths]), "")
    shown = " and ".join(f"`{name}`" for name in names[:_PLACES])
    begin = "t2.begin"
    if clues.wording and scene.dice.chance(_BY_WORDS, "by words"):
        reasoning = scene.say("t2.words", words=clues.wording)
        begin = (
            "t2.begin" if (yield from find_words(scene, clues.wording, reasoning, like)) else "t2.no_words"
        )
    hits = yield from find_definitions(scene, names, scene.say(begin, names=shown), like)
    spots: list[_Spot] = []
    wanted: list[Place] = []
    outlines: dict[str, Outline] = {}
    for place in places:
        path = _path_for(place, hits, clues)
        if path and len(spots) < _PLACES:
            spot = yield from _read_spot(place, path, hits, outlines, scene)
            if spot and all(spot.definition != other.definition for other in spots):
                spots.append(spot)
                wanted.append(place)
    return spots, wanted


def _path_for(place: Place, hits: list[Hit], clues: Clues) -> str:
    """The file to look into: the one the text names, else the first that defines the name."""
    if place.path:
        return place.path
    defining = [hit.path for hit in hits if defines(hit, place.name)]
    named = [path for path in defining if any(path.endswith(p.lstrip("./")) for p in clues.paths)]
    return next(iter([*named, *sorted(defining, key=is_test)]), "")


def _read_spot(
    place: Place, path: str, hits: list[Hit], outlines: dict[str, Outline], scene: Scene
) -> Script[_Spot | None]:
    if path not in outlines:
        reasoning = scene.say("t2.outline", path, path=path, name=place.name)
        outlines[path] = yield from outline_of(scene, path, reasoning)
    outline = outlines[path]
    near = place.line or next((hit.line for hit in hits if hit.path == path and defines(hit, place.name)), 0)
    owned = [
        d for d in outline.definitions if outline.owner(d) + d.name == place.qualified and d.keyword == "def"
    ]
    definition = owned[0] if len(owned) == 1 else outline.find(place.name, near)
    if definition is None:
        return None
    code = yield from read_function(scene, path, outline, definition)
    return _Spot(code, outline, definition) if code else None


# ── deciding ──────────────────────────────────────────────────────────────────────────────────────


def _repetition(spots: list[_Spot], wanted: list[Place], clues: Clues, scene: Scene) -> list[Work]:
    """What the first rollout did, if the text is one of ours; else the likeliest reading of it."""
    works = []
    for spot, place in zip(spots, wanted, strict=True):
        order = (
            [place.kind] if place.kind else [*clues.likely[:4], *candidates("", scene.dice, spot.code.path)]
        )
        if made := first_that_applies(order, spot.code, spot.outline):
            works.append(Work(made, spot.outline))
        if not place.kind and works:
            break
    return works


def _partly(works: list[Work], scene: Scene) -> list[Work]:
    """A version with some lines in common with `works` and some not; `works` if there is none."""
    if not works:
        return works
    last = works[-1]
    code, kind = last.alteration.code, last.alteration.kind
    versions = [works[:1]] if len(works) > 1 else []
    for other in (make(kind, code, 1), _commented(last.alteration)):
        if other and importable(last.outline, other.imports):
            versions.append([*works[:-1], Work(other, last.outline)])
    fitting = [version for version in versions if 0 < shared(works, version) < 1]
    return scene.dice.pick(fitting, "version") if fitting else works


def _commented(alteration: Alteration) -> Alteration | None:
    """The alteration with a comment behind the last line that it adds."""
    *before, hunk = alteration.hunks
    code = alteration.code
    for number in range(len(hunk.new) - 1, -1, -1):
        line = hunk.new[number]
        if line.strip() and line not in hunk.old and not line.endswith("\\"):
            mark = "#" if isinstance(code, Code) else "//"
            new = (*hunk.new[:number], f"{line}  {mark} {code.name}", *hunk.new[number + 1 :])
            changed = msgspec.structs.replace(hunk, new=new)
            lines = [*code.lines[: hunk.start], *new, *code.lines[hunk.start + len(hunk.old) :]]
            if not isinstance(code, Code) or parse_module(code, "\n".join(lines) + "\n"):
                return msgspec.structs.replace(alteration, hunks=(*before, changed))
    return None


def _aside(spot: _Spot, repetition: Sequence[Work], scene: Scene) -> Script[tuple[list[Work], str]]:
    """A change to a neighbour; without one, another kind of change to the same function."""
    order = candidates("", scene.dice, spot.code.path)
    for other in neighbours(spot.outline, spot.definition)[:_NEIGHBOURS]:
        reasoning = scene.say("t2.aside", other, other=other.name)
        code = yield from read_function(scene, spot.code.path, spot.outline, other, reasoning)
        made = first_that_applies(order, code, spot.outline) if code else None
        if made and shared(repetition, [Work(made, spot.outline)]) == 0:
            return [Work(made, spot.outline)], reasoning
    for kind in order:
        made = first_that_applies([kind], spot.code, spot.outline)
        if made and shared(repetition, [Work(made, spot.outline)]) == 0:
            return [Work(made, spot.outline)], ""
    return [], ""


def shared(wanted: Sequence[Work], made: Sequence[Work]) -> float:
    """Share of the changed lines of `wanted` that `made` repeats, as a patch would show them."""
    first, second = (_changed_lines(works) for works in (wanted, made))
    return (first & second).total() / first.total() if first else 0.0


def _changed_lines(works: Sequence[Work]) -> Counter[str]:
    lines: Counter[str] = Counter()
    for work in works:
        for hunk in work.alteration.hunks:
            lines += _signed(hunk)
        if work.alteration.imports:
            lines[f"+import {work.alteration.imports}"] += 1
    return lines


def _signed(hunk: Hunk) -> Counter[str]:
    old, new = Counter(hunk.old), Counter(hunk.new)
    removed = {f"-{line}": count for line, count in (old - new).items() if line.strip()}
    return Counter({f"+{line}": count for line, count in (new - old).items() if line.strip()} | removed)
