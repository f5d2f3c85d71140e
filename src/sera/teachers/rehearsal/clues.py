"""Reading an issue text: which functions it is about, where they are, and what kind of change it asks for.

A text of this teacher is recognised by the phrases it was made of. Of any other, names and paths are
taken, and the kind is guessed from the words it shares with the kinds' symptoms.
"""

import re
from functools import lru_cache

import msgspec

from sera.teachers.rehearsal.edits import every_kind, kinds
from sera.teachers.rehearsal.issues import issue_phrases, plain_text
from sera.teachers.rehearsal.tongues import SUFFIX

_GROUPS = {
    "name": r"(?P<name>\w+)",
    "target": r"(?P<target>.{1,80}?)",
    "qualified": r"(?P<qualified>\w+(?:\.\w+)*)",
    "path": rf"(?P<path>[\w./+-]+\.{SUFFIX})",
    "line": r"(?P<line>\d+)",
}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PATH = re.compile(rf"[\w./+-]+\.{SUFFIX}\b")
_TICKED = re.compile(r"`([A-Za-z_][\w.]*)(?:\(.*?\))?`")
_CODE_NAME = re.compile(r"\b([A-Za-z]\w*(?:\.\w+)+|\w+_\w+|[A-Z][a-z]+[A-Z]\w*|\w+(?=\(\)))")
_WORDS = re.compile(r"[a-z ]+")
_MOST_NAMES = 6


class Place(msgspec.Struct, frozen=True):
    """A function that a text speaks of."""

    name: str
    qualified: str = ""
    path: str = ""
    line: int = 0
    kind: str = ""
    """Kind of change it asks for; empty if the text does not tell."""


class Clues(msgspec.Struct, frozen=True):
    """What a text tells."""

    places: tuple[Place, ...]
    """The ones to change, the first named first."""
    names: tuple[str, ...]
    """Other names that may be of use, if `places` is empty."""
    paths: tuple[str, ...]
    likely: tuple[str, ...]
    """Kinds, the likeliest first, for a place that names none."""
    wording: str = ""
    """How the text puts what is wrong, in the words that do not depend on the function; empty if unknown."""


@lru_cache(maxsize=256)
def read_clues(text: str) -> Clues:
    """Read an issue text."""
    plain = plain_text(text)
    located = _located(plain)
    symptoms = _symptoms(plain)
    return Clues(
        places=tuple(
            msgspec.structs.replace(located.get(name, Place(name)), kind=symptom.kind)
            for name, symptom in symptoms.items()
        ),
        names=_names(text),
        paths=tuple(dict.fromkeys(_PATH.findall(plain))),
        likely=_likely(plain),
        wording=next((symptom.wording for symptom in symptoms.values()), ""),
    )


class _Symptom(msgspec.Struct, frozen=True):
    """What texts of this teacher say of a kind."""

    kind: str
    literal: str
    """The longest part without a placeholder, in lower case: it is looked for before the pattern."""
    pattern: re.Pattern[str]

    @property
    def wording(self) -> str:
        """Words of it in a row."""
        words: list[str] = _WORDS.findall(self.literal)
        return max(words, key=len).strip()


def _compiled(template: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(template)
    pattern = "".join(_GROUPS[part] if n % 2 else re.escape(part) for n, part in enumerate(parts))
    return re.compile(pattern, re.IGNORECASE)


@lru_cache(maxsize=1)
def _symptom_patterns() -> list[_Symptom]:
    return [
        _Symptom(name, max(_PLACEHOLDER.split(symptom)[::2], key=len).lower(), _compiled(symptom))
        for name, kind in every_kind().items()
        for symptom in kind.symptom
    ]


@lru_cache(maxsize=1)
def _location_patterns() -> list[re.Pattern[str]]:
    phrases = issue_phrases()
    return [_compiled(form) for form in [*phrases["location_with_line"], *phrases["location"]]]


def _symptoms(plain: str) -> dict[str, _Symptom]:
    """Function name → what is wrong with it, in the order of the text."""
    lower = plain.lower()
    found = [
        (match.start(), match["name"], symptom)
        for symptom in _symptom_patterns()
        if symptom.literal in lower
        for match in symptom.pattern.finditer(plain)
    ]
    names: dict[str, _Symptom] = {}
    for _, name, symptom in sorted(found, key=lambda one: (one[0], one[1], one[2].kind)):
        names.setdefault(name, symptom)
    return names


def _located(plain: str) -> dict[str, Place]:
    """Function name → where the text says it is; with a line number where it gives one."""
    places: dict[str, Place] = {}
    for pattern in _location_patterns():
        for match in pattern.finditer(plain):
            qualified = match["qualified"]
            line = int(match.groupdict().get("line") or 0)
            name = qualified.rsplit(".", 1)[-1]
            places.setdefault(name, Place(name, qualified, match["path"], line))
    return places


def _names(text: str) -> tuple[str, ...]:
    """Names in backticks, then what looks like a name, without paths."""
    without_paths = _PATH.sub(" ", text)
    found = [*_TICKED.findall(without_paths), *_CODE_NAME.findall(without_paths)]
    parts = [name.rsplit(".", 1)[-1] for name in found] + [name.split(".")[0] for name in found]
    return tuple(dict.fromkeys(part for part in parts if len(part) > 2 and part.isidentifier()))[:_MOST_NAMES]


def _likely(plain: str) -> tuple[str, ...]:
    words = set(re.findall(r"[a-z]{4,}", plain.lower()))
    shared = {
        name: len(words & set(re.findall(r"[a-z]{4,}", " ".join([*kind.symptom, *kind.wish, *kind.why]))))
        for name, kind in kinds().items()
    }
    return tuple(sorted(shared, key=lambda name: (-shared[name], name)))
