"""Cutting a conversation to the student's context, and the order of the cut ones.

A conversation that fits is kept whole. A longer one is cut back to its last assistant turn that still
ends inside the limit, so that a row never ends on a tool's answer or on half a call. Its ratio is the
share of turns that are left. Ordered truncation, which the paper found better than a random one, takes
whole conversations first and then those of the highest ratio, down to a least one: what is left of these
is a slice, always from the beginning. A slice from the middle would begin without the system prompt and the
task, which no student ever meets when it is served.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Fit(NamedTuple):
    """What is left of a conversation."""

    turns: int
    tokens: int
    ratio: float
    """Kept turns as a share of all, 0…1; 1 means whole."""


def fit_at_random(tokens: Sequence[int], assistant: Sequence[bool], limit: int, draw: float) -> Fit:
    """As `fit`, but a conversation that is too long ends on any assistant turn inside the limit, all of
    them equally likely: the one that `draw`, 0 ≤ draw < 1, falls on."""
    latest = fit(tokens, assistant, limit)
    if latest.turns == len(tokens) or not latest.turns:
        return latest
    ends = [n for n in range(latest.turns) if assistant[n]]
    last = ends[int(draw * len(ends))]
    return Fit(last + 1, sum(tokens[: last + 1]), (last + 1) / len(tokens))


def fit(tokens: Sequence[int], assistant: Sequence[bool], limit: int) -> Fit:
    """Cut turns of these lengths, of which these are an assistant's, to at most `limit` tokens."""
    ends = list(accumulate(tokens))
    if not ends or ends[-1] <= limit:
        return Fit(len(ends), ends[-1] if ends else 0, 1.0)
    return cut(tokens, assistant, sum(end <= limit for end in ends))


def cut(tokens: Sequence[int], assistant: Sequence[bool], most: int) -> Fit:
    """At most this many turns, back to one of an assistant."""
    turns = max((n + 1 for n in range(most) if assistant[n]), default=0)
    return Fit(turns, sum(tokens[:turns]), turns / len(tokens))
