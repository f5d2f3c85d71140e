"""Planting the canaries of a dataset: which rows have room for one, and what it adds to their length."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from sera.datasets.lines import json_line
from sera.datasets.safety.canaries import Canary, RowKey, choose, plant
from sera.errors import DatasetError

if TYPE_CHECKING:
    from sera.datasets.config import DatasetConfig
    from sera.datasets.decide import Decision
    from sera.datasets.rendering import Student

_ROOM = 64
"""Tokens that a row must have left for a canary; with any tokenizer it takes less."""


class Planter:
    """Plants the canaries that the settings ask for into the rows of a dataset."""

    def __init__(self, config: "DatasetConfig", student: "Student", rows: Sequence["Decision"]) -> None:
        """Raises `DatasetError` if fewer rows have room than canaries are asked for."""
        self._student = student
        wanted = config.safety.canaries
        roomy = [_key(row) for row in rows if row.tokens + _ROOM <= config.max_tokens] if wanted else []
        if len(roomy) < wanted:
            raise DatasetError(
                f"{wanted:,} canaries are asked for, and {len(roomy):,} rows have room for one: ask for "
                f"fewer, or raise max_tokens"
            )
        self._chosen = choose(roomy, wanted, config.safety.canary_seed)

    @property
    def canaries(self) -> tuple[Canary, ...]:
        """All that are planted, by row."""
        return tuple(self._chosen[key] for key in sorted(self._chosen))

    def plant(self, decision: "Decision", line: bytes) -> tuple["Decision", bytes]:
        """The row, with its canary if it was chosen, and what is known of it now."""
        canary = self._chosen.get(_key(decision))
        if canary is None:
            return decision, line
        row = msgspec.json.decode(line, type=dict[str, Any])
        planted = plant(row, canary)
        grown = self._length(planted) - self._length(row)
        planted["tokens"] = decision.tokens + grown
        return msgspec.structs.replace(decision, tokens=decision.tokens + grown), json_line(planted)

    def _length(self, row: Mapping[str, Any]) -> int:
        """Tokens of a row as the student sees it."""
        from sera.datasets.rendering import render_row

        return len(render_row(row, self._student).ids)


def _key(row: "Decision") -> RowKey:
    return row.figures.run, row.figures.id
