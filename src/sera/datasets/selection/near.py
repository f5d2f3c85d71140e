"""Near-duplicates by MinHash: texts that share most of their runs of words.

A text is signed once, by the process that renders its sample. Signatures are then compared in the order
of the plan: a text is a near-duplicate if an earlier one, itself none, is at least as similar as the
threshold. Which texts are compared at all is found by bands of their signatures (LSH), so that the work
grows with the number of texts, not with its square. With 25 bands of 5, a pair of similarity 0.8 is missed
once in 20,000 times, one of 0.6 once in 8; the similarity itself is estimated to about 0.04.
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
    same = sum(left == right for left, right in zip(array("I", a), array("I", b), strict=True))
    return same / _PERMUTATIONS


def near_duplicates(signed: Iterable[tuple[K, bytes]], threshold: float) -> list[K]:
    """The keys of texts that are too near to an earlier one; texts without a signature are never."""
    originals: list[bytes] = []
    buckets: dict[int, tuple[int, ...]] = {}
    lost = []
    for key, signature in signed:
        if not signature:
            continue
        places = [hash(band) for band in _bands(signature)]
        near = {number for place in places for number in buckets.get(place, ())}
        if any(similarity(signature, originals[number]) >= threshold for number in near):
            lost.append(key)
            continue
        alone = (len(originals),)
        originals.append(signature)
        for place in places:
            buckets[place] = buckets[place] + alone if place in buckets else alone
    return lost


def _bands(signature: bytes) -> Iterable[tuple[int, bytes]]:
    size = _ROWS * _BYTES
    return ((band, signature[band * size : (band + 1) * size]) for band in range(_BANDS))
