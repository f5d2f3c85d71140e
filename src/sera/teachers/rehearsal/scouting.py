"""Finding and reading code: the parts that the scripts of both rollouts share."""

import posixpath
import re

import msgspec

from sera.teachers.rehearsal import tongues
from sera.teachers.rehearsal.dice import Dice
from sera.teachers.rehearsal.sight import (
    OUTLINE,
    Definition,
    Hit,
    Outline,
    read_hits,
    read_listing,
    read_outline,
)
from sera.teachers.rehearsal.source import Piece, read_code
from sera.teachers.rehearsal.steps import Script, bash, quote, view
from sera.teachers.rehearsal.tongues import globs, tongue_of
from sera.teachers.rehearsal.voice import say

_PAGE = 150
"""Lines viewed at once: below the clipping of an observation for lines of usual length."""
_LONGEST = 300
"""Lines of a function that are read; of a longer one, the beginning has to do."""
_AROUND = 3
_SHOWN = 40
_OUTLINED = 250
_TEST_FILE = re.compile(r"^(test_|conftest)|_test\.go$|\.(test|spec)\.\w+$|Tests?\.java$")


class Scene(msgspec.Struct, frozen=True):
    """Where a rollout takes place."""

    workdir: str
    dice: Dice

    def at(self, path: str) -> str:
        """Absolute form of a path in the repository."""
        return posixpath.join(self.workdir, path)

    def say(self, phrase: str, /, *label: object, **values: object) -> str:
        """A phrase of this rollout."""
        return say(self.dice, phrase, *label, **values)


def outline_command(workdir: str, path: str) -> str:
    """Prints the length of a file and the lines that `read_outline` reads."""
    pattern = tongues.OUTLINE if tongue_of(path) else OUTLINE
    return (
        f"cd {quote(workdir)} && wc -l {quote(path)} && grep -nE {quote(pattern)} {quote(path)}"
        f" | head -n {_OUTLINED}"
    )


def outline_of(scene: Scene, path: str, reasoning: str) -> Script[Outline]:
    """What a file holds."""
    return read_outline((yield bash(outline_command(scene.workdir, path), reasoning)), path)


def read_function(
    scene: Scene, path: str, outline: Outline, definition: Definition, reasoning: str = ""
) -> Script[Piece | None]:
    """View a function, in as many pieces as it needs, and cut it out."""
    first = max(1, definition.line - _AROUND)
    end = min(outline.after(definition) + 1, definition.line + _LONGEST, max(outline.length, definition.line))
    seen: dict[int, str] = {}
    reasoning = reasoning or scene.say("t1.read", definition, name=definition.name, line=definition.line)
    while first <= end:
        last = min(first + _PAGE, end)
        listing = read_listing((yield view(scene.at(path), first, last, reasoning)))
        if first not in listing:
            break
        while first in listing:
            seen[first] = listing[first]
            first += 1
        reasoning = scene.say("t1.read_on", first, line=first)
    return read_code(path, seen, definition.line, definition.name, outline.length)


def find_definitions(scene: Scene, names: list[str], reasoning: str, like: str = "") -> Script[list[Hit]]:
    """Where functions or classes of these names are defined, in files like `like`, sorted by path."""
    either = f"({'|'.join(names)})"
    pattern = rf"\b{either}\b.*\{{ *$" if tongue_of(like) else rf"(def|class) +{either}\b"
    command = _search(scene, pattern, like)
    return read_hits((yield bash(command, reasoning)))


def find_uses(scene: Scene, name: str, reasoning: str, like: str = "") -> Script[list[Hit]]:
    """Lines that seem to call `name`, in files like `like`, sorted by path."""
    return read_hits((yield bash(_search(scene, rf"\b{name}\(", like), reasoning)))


def find_words(scene: Scene, words: str, reasoning: str, like: str = "") -> Script[list[Hit]]:
    """Lines that hold these words, in files like `like`, sorted by path."""
    return read_hits((yield bash(_search(scene, words, like), reasoning)))


def _search(scene: Scene, pattern: str, like: str) -> str:
    included = " ".join(f"--include='{glob}'" for glob in globs(like))
    grep = f"grep -rnE {quote(pattern)} {included} ."
    return f"cd {quote(scene.workdir)} && {grep} | sort | head -n {_SHOWN}"


def is_test(path: str) -> bool:
    """Whether a path looks like a test's."""
    parts = path.split("/")
    return any(part in ("test", "tests", "testing", "__tests__") for part in parts[:-1]) or bool(
        _TEST_FILE.search(parts[-1])
    )
