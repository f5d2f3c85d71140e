"""Near-duplicates by MinHash: texts that share most of their runs of words.

A text is signed once, by the process that renders its sample. Signatures are then compared in the order
of the plan: a text is a near-duplicate if an earlier one, itself none, is at least as similar as the
threshold. Which texts are compared at all is found by bands of their signatures (LSH): with 25 bands of 5,
a pair of similarity 0.8 is missed once in 20,000 times, one of 0.6 once in 8; the similarity itself is
estimated to about 0.04.

The work grows with the number of texts, also where all of them share much (a template, a licence, a
traceback): a band that 128 texts have in common tells of that and not of a copy, and finds only those 128.
A copy is then found by its other bands. Where the shared part alone comes close to the threshold, more are
missed: with 0.7 shared by all, once in 60 times at 0.8.
"""

import re
from array import array
from collections.abc import Iterable
from typing import TypeVar

from sera.errors import UsageError

K = TypeVar("K")
_WORDS = 5
"""Length of a run of words."""
_BANDS, _ROWS = 25, 5
_PERMUTATIONS = _BANDS * _ROWS
_SEED = 1
_BYTES = 4
_COMMON = 128
"""Texts that a band leads to at most."""
_LANE = 8 * _BYTES
_HIGH = sum(1 << (_LANE * lane + _LANE - 1) for lane in range(_PERMUTATIONS))
_LOW = sum(((1 << (_LANE - 1)) - 1) << (_LANE * lane) for lane in range(_PERMUTATIONS))
"""The highest bit of each number of a signature, and all its other bits."""
_WORD = re.compile(r"\w+|[^\w\s]")


def sign(text: str) -> bytes:
    """The signature of a text: 500 bytes; none for a text without words."""
    try:
        from rensa import RMinHash
    except ImportError as missing:
        raise UsageError('near-duplicates need a library: pip install "sera[dataset]"') from missing
    words = _WORD.findall(text)
    if not words:
        return b""
    size = min(_WORDS, len(words))
    runs = {" ".join(words[start : start + size]) for start in range(len(words) - size + 1)}
    (digest,) = RMinHash.digests_from_token_sets([sorted(runs)], num_perm=_PERMUTATIONS, seed=_SEED)
    return array("I", digest).tobytes()


def similarity(a: bytes, b: bytes) -> float:
    """Estimated share of runs of words that two signed texts have in common (Jaccard)."""
    return _alike(int.from_bytes(a), int.from_bytes(b))


def _alike(a: int, b: int) -> float:
    """All numbers of two signatures are compared at once: adding `_LOW` carries into the highest bit of each
    number that is not 0."""
    apart = a ^ b
    return 1 - ((((apart & _LOW) + _LOW) | apart) & _HIGH).bit_count() / _PERMUTATIONS


def near_duplicates(signed: Iterable[tuple[K, bytes]], threshold: float) -> list[K]:
    """The keys of texts that are too near to an earlier one; texts without a signature are never."""
    originals: list[int] = []
    buckets: dict[int, list[int]] = {}
    lost = []
    for key, signature in signed:
        if not signature:
            continue
        places = [hash(band) for band in _bands(signature)]
        near = {number for place in places for number in buckets.get(place, ())}
        whole = int.from_bytes(signature)
        if any(_alike(whole, originals[number]) >= threshold for number in near):
            lost.append(key)
            continue
        for place in places:
            if len(found := buckets.setdefault(place, [])) < _COMMON:
                found.append(len(originals))
        originals.append(whole)
    return lost


def _bands(signature: bytes) -> Iterable[tuple[int, bytes]]:
    size = _ROWS * _BYTES
    return ((band, signature[band * size : (band + 1) * size]) for band in range(_BANDS))
