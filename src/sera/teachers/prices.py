"""What tokens cost. Sums are whole nano-dollars, each call rounded up: no float is ever added.

A model that the shipped table (`prices.toml`) does not name has no price, rather than a guessed one,
and an endpoint of one's own is free only if its price of 0 is said.
"""

import tomllib
from importlib.resources import files
from typing import Annotated

import msgspec

from sera.records import Usage
from sera.settings import Config, check_numbers

PerMillion = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]


class Price(Config, frozen=True, kw_only=True):
    """Dollars per million tokens. Overrides the shipped table; for a server of one's own say 0."""

    input: PerMillion
    """Dollars per million prompt tokens that are not cached."""
    cached: PerMillion | None = None
    """Dollars per million prompt tokens read from the cache. Default: as `input`."""
    output: PerMillion
    """Dollars per million tokens of the answer, reasoning included."""
    written: PerMillion | None = None
    """Dollars per million prompt tokens written to the cache. Default: as `input`; Anthropic takes a
    quarter more."""

    def __post_init__(self) -> None:
        check_numbers(self)

    def cost(self, used: Usage, written: int = 0) -> int:
        """Nano-dollars of one call."""
        plain = max(used.prompt - used.cached - written, 0)
        return _nano(
            (plain, self.input),
            (used.cached, _or(self.cached, self.input)),
            (written, _or(self.written, self.input)),
            (used.completion, self.output),
        )

    def worst(self, worst: Usage) -> int:
        """Nano-dollars of one call whose whole prompt is charged in the dearest way."""
        dearest = max(self.input, _or(self.cached, self.input), _or(self.written, self.input))
        return _nano((worst.prompt, dearest), (worst.completion, self.output))


FREE = Price(input=0, output=0)


def _or(price: float | None, default: float) -> float:
    return default if price is None else price


def _nano(*parts: tuple[int, float]) -> int:
    """A dollar per million tokens is a million pico-dollars per token, so every price in use is whole."""
    pico = sum(tokens * round(price * 1_000_000) for tokens, price in parts)
    return -(-pico // 1000)


class _Entry(Price, frozen=True, kw_only=True):
    names: tuple[str, ...]


def listed_price(model: str) -> Price | None:
    """The shipped price of a model, None if the table does not name it."""
    name = model.rpartition("/")[2].lower()
    text = files("sera.teachers").joinpath("prices.toml").read_text("utf-8")
    for entry in msgspec.convert(tomllib.loads(text), dict[str, _Entry]).values():
        if name in entry.names:
            return Price(input=entry.input, cached=entry.cached, output=entry.output, written=entry.written)
    return None
