"""The teacher's words: phrases drawn by hash, filled in."""

import tomllib
from functools import lru_cache
from importlib.resources import files

import msgspec

from sera.teachers.rehearsal.dice import Dice


@lru_cache(maxsize=1)
def phrases() -> dict[str, dict[str, list[str]]]:
    """Section → name → variants, from `phrases.toml`."""
    text = (files("sera.teachers.rehearsal") / "phrases.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, dict[str, list[str]]])


def say(dice: Dice, phrase: str, /, *label: object, **values: object) -> str:
    """One variant of `section.name`, with `values` in it. `label` tells repeated uses apart."""
    section, name = phrase.split(".")
    return dice.pick(phrases()[section][name], phrase, *label).format(**values)


def sentence(text: str) -> str:
    """`text` with a capital first letter and a full stop."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
