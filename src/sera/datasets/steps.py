"""What is done with samples and rows beyond selecting them: the places where other parts are hooked in.

    stage ─ prepare… ─► filters ─► turns, lengths, cut ─ check… ─► row

`prepare` steps see every sample of a wanted stage before anything else is judged or rendered, and may
change it: what they remove from a message is in no turn, no token and no row. `check` steps see every
candidate that will be a row, rendered and cut, and may refuse the whole dataset by raising `DatasetError`.
Both may count things; the sums stand in the manifest as `tallies`. Steps run in each worker process: they are
made there from the settings alone, and must depend on nothing but the sample.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from sera.datasets.candidate import Candidate
from sera.datasets.config import DatasetConfig
from sera.datasets.safety.steps import licence_step, scan_step
from sera.datasets.sample import Sample

Tallies = Counter[str]
"""Name → times."""
Prepare = Callable[[Sample, Tallies], Sample]
Check = Callable[[Candidate, Tallies], None]


class Steps(NamedTuple):
    """In the order in which they are done."""

    prepare: tuple[Prepare, ...] = ()
    check: tuple[Check, ...] = ()


def make_steps(config: DatasetConfig) -> Steps:
    """The steps for these settings."""
    return Steps(prepare=(scan_step(config.safety), licence_step))
