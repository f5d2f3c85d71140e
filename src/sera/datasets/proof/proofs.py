"""The list of proofs. Each looks at one row and yields what is wrong with it; add one by adding a line."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sera.datasets.proof.calls import calls_read_back
from sera.datasets.proof.case import Case
from sera.datasets.proof.cut import begins_once, cut_at_a_turn
from sera.datasets.proof.fault import Fault
from sera.datasets.proof.mask import mask_is_exact
from sera.datasets.proof.parity import served_as_trained
from sera.datasets.proof.thought import reasoning_is_kept


class Proof(NamedTuple):
    """One proof."""

    name: str
    promise: str
    """What holds for a row that passes."""
    find: Callable[[Case], Iterator[Fault]]


PROOFS = (
    Proof("calls", "servers read from every trained turn the calls that were recorded", calls_read_back),
    Proof("reasoning", "recorded reasoning is in the loss, empty one is not", reasoning_is_kept),
    Proof("mask", "the loss covers what the assistant says, and nothing else", mask_is_exact),
    Proof("parity", "a server shows at every turn what the row has up to there", served_as_trained),
    Proof("cut", "the row ends with a whole turn, and fits", cut_at_a_turn),
    Proof("beginning", "the row begins with one beginning", begins_once),
)
BEFORE = "texts"
"""Name of what is looked at before a row is rendered."""


def promises() -> list[tuple[str, str]]:
    """Name and promise of everything that is looked at in a row, in that order."""
    first = (BEFORE, "it is a row of this dataset, and no text in it holds a mark of the template")
    return [first, *((proof.name, proof.promise) for proof in PROOFS)]
