"""Decisions by hash: the same label under the same key always falls the same way, in every process."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

T = TypeVar("T")


def digest(*parts: object) -> str:
    """Sixteen hex digits of `parts`, joined unambiguously. Takes what has a stable `str`."""
    hashed = hashlib.blake2b(digest_size=8)
    for part in parts:
        text = str(part).encode("utf-8", "surrogatepass")
        hashed.update(b"%d:" % len(text))
        hashed.update(text)
    return hashed.hexdigest()


class Dice(msgspec.Struct, frozen=True):
    """All the chance of one conversation. Throws are named, not counted: their order is irrelevant."""

    key: str

    def unit(self, *label: object) -> float:
        """A number in [0, 1)."""
        return int(digest(self.key, *label), 16) / 2**64

    def chance(self, probability: float, *label: object) -> bool:
        """True with `probability`."""
        return self.unit(*label) < probability

    def pick(self, options: Sequence[T], *label: object) -> T:
        """One of `options`, which must not be empty."""
        return options[int(self.unit(*label) * len(options))]

    def shuffle(self, options: Iterable[T], *label: object) -> list[T]:
        """`options` in an order that depends on what they are, not on how they came."""
        return sorted(options, key=lambda option: digest(self.key, *label, option))
