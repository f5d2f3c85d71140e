"""Whether an issue text is in English: by its script, then by its small words.

Code, quotes of output, links and names are cut out first. What is left is English if its letters are
Latin ones and it holds at least as many of English's most frequent words as of any other language's in
`small_words.toml`. Fewer than five words of prose are held to be English unless their script is another:
there is nothing to tell by. A text that mixes languages goes by its larger part.

Not covered: languages written in Latin letters that are not in the list, which pass only if they share
words with English; dialects; translations that are English by their words alone.
"""

import re
import tomllib
from functools import cache
from importlib.resources import files

_CODE = re.compile(
    r"^(?: {4}|\t|>|>>>|\s*File \").*$"  # indented, quoted, prompts, tracebacks
    r"|`[^`\n]*`|https?://\S+|<[^>\n]+>"
    r"|\S*[_/\\=(){}\[\]]\S*|\b\w+\.\w[\w.]*",  # names, paths, expressions
    re.MULTILINE,
)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_FEW = 5
_LATIN = 0.7
"""Least share of Latin letters in an English text; the rest may be names and quotes."""
_LAST_LATIN = "\u024f"


def is_english(text: str) -> bool:
    """Whether the prose in a text is English; a text without prose is."""
    words = [word.lower() for word in _WORD.findall(_prose(text))]
    letters = "".join(words)
    latin = sum(letter <= _LAST_LATIN or letter == "’" for letter in letters)
    if letters and latin < _LATIN * len(letters):
        return False
    if len(words) < _FEW:
        return True
    found = {language: sum(word in small for word in words) for language, small in _small_words().items()}
    return found.pop("english") >= max(1, *found.values())


def _prose(text: str) -> str:
    return _CODE.sub(" ", _FENCED.sub(" ", text))


@cache
def _small_words() -> dict[str, frozenset[str]]:
    data = tomllib.loads((files(__package__) / "small_words.toml").read_text("utf-8"))
    return {language: frozenset(words.split()) for language, words in data.items()}
