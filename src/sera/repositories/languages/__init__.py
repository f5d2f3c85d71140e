"""The languages functions are read from: a contract, one file per language, chosen here by suffix.

Python is read by its own parser and is always there. The others are read with grammars for
tree-sitter, one wheel each, which the extra `languages` installs; nothing is fetched when they are used.
"""

from sera.repositories.languages.contract import MISSING, Language
from sera.repositories.languages.go import GO
from sera.repositories.languages.java import JAVA
from sera.repositories.languages.javascript import JAVASCRIPT
from sera.repositories.languages.python import PYTHON
from sera.repositories.languages.rust import RUST
from sera.repositories.languages.typescript import TYPESCRIPT

__all__ = ["LANGUAGES", "MISSING", "Language", "language_of"]

LANGUAGES: tuple[Language, ...] = (PYTHON, JAVASCRIPT, TYPESCRIPT, GO, RUST, JAVA)

_BY_SUFFIX = {suffix: language for language in LANGUAGES for suffix in language.suffixes}


def language_of(path: str) -> Language | None:
    """The language of a file by the end of its name; None if it is none of these."""
    name = path.rpartition("/")[2]
    return _BY_SUFFIX.get(name[name.rfind(".") :]) if "." in name else None
