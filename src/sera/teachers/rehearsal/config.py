"""The rehearsal teacher's knobs."""

from typing import Annotated

import msgspec

from sera.settings import Config

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, msgspec.Meta(ge=0.0)]


class RehearsalConfig(Config, frozen=True, tag_field="kind", tag="rehearsal"):
    """How the rehearsal teacher behaves. The defaults make it quick, faultless and mostly agreeable."""

    seed: int = 0
    """Mixed into every decision. Two seeds give two different data sets from the same tasks."""
    same: Share = 0.40
    """Share of second rollouts that mean to repeat the first one's change exactly (r = 1)."""
    partial: Share = 0.35
    """Share that mean to repeat a part of it (0 < r < 1). The rest changes something else (r = 0)."""
    reject_rate: Share = 0.02
    """Share of self-checks that are answered with no, whatever was done."""
    latency: Seconds = 0.0
    """Mean seconds before an answer; exponentially distributed, at most five times the mean."""
    fail_rate: Share = 0.0
    """Share of calls that fail as a temporary error (`TeacherError`, status 500). A repeat is a new throw."""
    stall_rate: Share = 0.0
    """Share of calls that are never answered, until the caller gives up. A repeat is a new throw."""
    babble_rate: Share = 0.0
    """Share of answers that are malformed in one of six ways. Part of the content: a repeat is the same."""

    def __post_init__(self) -> None:
        if self.same + self.partial > 1:
            raise ValueError("same and partial are shares of one whole: together at most 1")
