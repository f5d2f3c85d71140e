"""What a sample can be asked for by number. This is the only list of them.

The shares of `Agreement` are metrics under their own names, so that a new measure of how far two patches
agree can be asked for as soon as it is recorded.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from sera.datasets.candidate import Candidate
from sera.datasets.selection.reasons import Reason
from sera.records import Agreement, Ratio


class Metric(NamedTuple):
    """One figure of a candidate."""

    read: Callable[[Candidate], float]
    low: Reason
    """Why a sample whose figure is too low is not taken."""
    high: Reason
    counted: bool = False
    """Whether the conversation must be rendered and counted for it."""


def _measure(name: str) -> Metric:
    """A share of the task's agreement, 0 if there is none."""
    return Metric(
        lambda c: float(getattr(c.sample.agreement, name)) if c.sample.agreement else 0.0,
        Reason.LOW_RECALL,
        Reason.HIGH_RECALL,
    )


MEASURES = tuple(field.name for field in msgspec.structs.fields(Agreement) if field.type is Ratio)
"""How far T2 repeats T1: shares, 0…1."""

METRICS: Mapping[str, Metric] = {
    **{name: _measure(name) for name in MEASURES},
    "r": _measure("recall"),
    "patch": Metric(lambda c: c.patch_lines, Reason.SHORT_PATCH, Reason.LONG_PATCH),
    "files": Metric(lambda c: c.patch_files, Reason.FEW_FILES, Reason.MANY_FILES),
    "steps": Metric(lambda c: c.steps, Reason.FEW_STEPS, Reason.MANY_STEPS),
    "tool": Metric(lambda c: c.tool_tokens, Reason.SHORT_TOOL_OUTPUT, Reason.LONG_TOOL_OUTPUT, counted=True),
    "answer": Metric(
        lambda c: c.answer_tokens, Reason.SHORT_TOOL_ANSWER, Reason.LONG_TOOL_ANSWER, counted=True
    ),
    "tokens": Metric(lambda c: sum(c.lengths), Reason.SHORT, Reason.LONG, counted=True),
    "ratio": Metric(lambda c: c.fit.ratio, Reason.TRUNCATED, Reason.WHOLE, counted=True),
}
"""By the name that a recipe gives them."""
