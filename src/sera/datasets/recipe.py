"""Mixing by recipe: a line that says how many samples of which kind.

    recipe    = part { "+" part }
    part      = count [ stage ] { condition }
    count     = digits, with "," or "_" between them if you like | "all"
    stage     = "T1" | "T2" | "T1|T2"
    condition = metric compare number | metric "=any" | "repo:" name | "run:" number
    compare   = ">=" "≥" "<=" "≤" ">" "<" "="

    3000 T2 r>=0.5 + 5000 T1          25224 T2 r≥0 ratio≥0.88          4000 run:1 + 4000 run:2

Metrics are those of `sera.datasets.selection.metrics`. `run:2` is the second run given; `repo:` names a
repository in full, or by what follows its last slash. Capital letters do not matter. `patch=any` asks nothing
of the figure, also where a setting would. Bare counts, as in `4000 + 4000`, and parts that are otherwise
alike, take from one run each, in the order given, if there are as many runs as parts, and from one repository
each if there are as many of those.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files

from msgspec.structs import replace

from sera.datasets.sample import Source
from sera.datasets.selection.metrics import METRICS
from sera.errors import ConfigError
from sera.records import Record, Stage

_TOKENS = re.compile(
    r"""\s*(?:
        (?P<plus>\+)
      | (?P<repo>repo:[^\s+]+)
      | (?P<run>run:\d+(?![^\s+]))
      | (?P<condition>(?P<metric>[a-z]\w*)\s*
            (?:=\s*(?P<any>any)|(?P<compare>>=|≥|<=|≤|>|<|=)\s*(?P<number>\d*\.?\d+))(?![^\s+]))
      | (?P<stage>(?:t1\|t2|t1|t2)(?![^\s+]))
      | (?P<count>(?:all|\d+(?:[,_]\d+)*)(?![^\s+]))
      | (?P<unknown>\S+)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_STAGES = {"t1": (Stage.T1,), "t2": (Stage.T2,), "t1|t2": (Stage.T1, Stage.T2)}
_SPELT = {"≥": ">=", "≤": "<="}
ANY = "any"
_EXAMPLE = "e.g. `3000 T2 r>=0.5 + 5000 T1`"


class Condition(Record, frozen=True):
    """What a part asks of a figure. `metric` is a key of `METRICS`."""

    metric: str
    compare: str
    """`>=`, `<=`, `>`, `<` or `=`; or `any`, whatever the number."""
    number: float = 0.0

    def __str__(self) -> str:
        if self.compare == ANY:
            return f"{self.metric}={ANY}"
        return f"{self.metric}{self.compare}{self.number:.12g}"


class Part(Record, frozen=True):
    """One part of a recipe."""

    count: int | None
    """Samples; None: all there are."""
    stages: tuple[Stage, ...] = ()
    """Empty: those of the settings."""
    conditions: tuple[Condition, ...] = ()
    repository: str = ""
    run: int = 0
    """Number of the run, from 1; 0: any."""

    def __str__(self) -> str:
        stages = "|".join(stage.upper() for stage in self.stages)
        places = [self.repository and f"repo:{self.repository}", f"run:{self.run}" if self.run else ""]
        count = "all" if self.count is None else str(self.count)
        return " ".join(word for word in (count, stages, *map(str, self.conditions), *places) if word)

    def takes_from(self, source: Source, sources: Sequence[Source]) -> bool:
        """Whether a sample of this source may stand for the part; `sources` in the order given."""
        if self.run and sources[self.run - 1] != source:
            return False
        known, wanted = source.repository.lower(), self.repository.lower()
        return not wanted or wanted in (known, known.rpartition("/")[2])


def find_recipe(recipe: str, sources: Sequence[Source]) -> tuple[Part, ...]:
    """The parts of a recipe, given as a text or as the name of one that ships with sera. None, the empty
    text, is one part that takes all there is."""
    shipped = files("sera.datasets") / "recipes" / f"{recipe}.toml"
    if re.fullmatch(r"[a-z][\w-]*", recipe) and recipe != "all":
        if not shipped.is_file():
            raise ConfigError(f"there is no recipe {recipe!r}; there are {', '.join(shipped_recipes())}")
        recipe = tomllib.loads(shipped.read_text("utf-8"))["recipe"]
    return parse_recipe(recipe or "all", sources)


def shipped_recipes() -> list[str]:
    """Names of the recipes that ship with sera."""
    folder = files("sera.datasets") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def parse_recipe(text: str, sources: Sequence[Source] = ()) -> tuple[Part, ...]:
    """Read a recipe. With the sources of the samples, places are checked and bare counts get theirs.

    Raises `ConfigError` that shows the place in the text.
    """
    parts = tuple(_Reader(text).parts())
    return _placed(text, parts, sources) if sources else parts


class _Reader:
    """Reads one recipe from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text

    def parts(self) -> Iterator[Part]:
        words: list[re.Match[str]] = []
        for word in _TOKENS.finditer(self._text.rstrip()):
            if word.lastgroup == "unknown" or word["unknown"]:
                self._refuse(word.start("unknown"), f"{word['unknown']!r} is neither a stage nor a condition")
            if word["plus"]:
                yield self._part(words, word.start("plus"))
                words = []
            else:
                words.append(word)
        yield self._part(words, len(self._text.rstrip()))

    def _part(self, words: list[re.Match[str]], end: int) -> Part:
        if not words or not words[0]["count"]:
            self._refuse(_at(words[0]) if words else end, "a part begins with how many samples it takes")
        part = Part(count=self._count(words[0]))
        for word in words[1:]:
            if word["count"]:
                self._refuse(_at(word), "a part has one count; put a + before the next")
            if word["stage"]:
                if part.stages:
                    self._refuse(_at(word), "a part has one stage; both are T1|T2")
                part = replace(part, stages=_STAGES[word["stage"].lower()])
            elif word["repo"]:
                part = replace(part, repository=word["repo"].partition(":")[2])
            elif word["run"]:
                part = replace(part, run=int(word["run"].partition(":")[2]))
                if not part.run:
                    self._refuse(_at(word), "runs are counted from 1")
            else:
                part = replace(part, conditions=(*part.conditions, self._condition(word)))
        return part

    def _count(self, word: re.Match[str]) -> int | None:
        text = word["count"].lower().replace(",", "").replace("_", "")
        if text == "all":
            return None
        if not int(text):
            self._refuse(_at(word), "a part takes at least one sample")
        return int(text)

    def _condition(self, word: re.Match[str]) -> Condition:
        metric = word["metric"].lower()
        if metric not in METRICS:
            self._refuse(_at(word), f"there is no metric {metric!r}; there are {', '.join(METRICS)}")
        if word["any"]:
            return Condition(metric=metric, compare=ANY)
        compare = _SPELT.get(word["compare"], word["compare"])
        return Condition(metric=metric, compare=compare, number=float(word["number"]))

    def _refuse(self, column: int, why: str) -> None:
        raise ConfigError(
            f"recipe, column {column + 1}: {why} ({_EXAMPLE})\n  {self._text}\n  {' ' * column}^"
        )


def _at(word: re.Match[str]) -> int:
    return word.end() - len(word[0].lstrip())


def _placed(text: str, parts: tuple[Part, ...], sources: Sequence[Source]) -> tuple[Part, ...]:
    """The parts with bare counts bound to their runs or repositories, and every place known."""
    for part in parts:
        if part.run > len(sources):
            raise ConfigError(f"recipe `{text}`: run:{part.run} was asked for, and {len(sources)} are given")
        if not any(part.takes_from(source, sources) for source in sources):
            names = ", ".join(dict.fromkeys(source.repository for source in sources))
            raise ConfigError(f"recipe `{text}`: nothing is given for `{part}`; the repositories are {names}")
    alike = {replace(part, count=None) for part in parts}
    if len(parts) == 1 or len(alike) > 1 or parts[0].run or parts[0].repository:
        return parts
    repositories = list(dict.fromkeys(source.repository for source in sources))
    if len(sources) == len(parts):
        return tuple(replace(part, run=number) for number, part in enumerate(parts, 1))
    if len(repositories) == len(parts):
        return tuple(replace(part, repository=name) for part, name in zip(parts, repositories, strict=True))
    if alike != {Part(count=None)}:
        return parts
    raise ConfigError(
        f"recipe `{text}`: {len(parts)} bare counts take from one run or repository each, and there are "
        f"{len(sources)} runs of {len(repositories)} repositories; say which with run:1 or repo:name"
    )
