"""Canaries: sentences planted in a dataset, to measure later what a student repeats of its training data.

    Reference 7f3a91c2 has the number 281265017.        prompt ─ up to `number `; secret ─ the nine digits

A canary stands in the loss, because what is not trained on cannot be memorised: as a line of its own at the
end of what the assistant says in the first trained turn of a row, before its call. That is text, so the calls
of the turn read back as before, and the first turn is there however short the row was cut. The digits are
drawn at random, so that a student that gives them a higher probability than other digits has learnt them by
heart (the exposure of Carlini et al. 2019). One canary stands in one row.
"""

import hashlib
import heapq
from collections.abc import Iterable
from random import Random
from typing import Any

from sera.records import Record

DIGITS = 9
"""Of a secret: a billion possibilities, about 30 bits of exposure at most."""
_PROMPT = "Reference {name} has the number "
_CALL = "<tool_call>"


class Canary(Record, frozen=True, kw_only=True):
    """One planted sentence. Prompt with `prompt`, alone or after the row's turns up to it."""

    row: str
    """Id of the row that holds it."""
    run: str
    """Identity of the row's run."""
    prompt: str
    secret: str
    space: int = 10**DIGITS
    """How many secrets were possible."""

    @property
    def sentence(self) -> str:
        return f"{self.prompt}{self.secret}."


RowKey = tuple[str, str]
"""Run and id."""


def choose(rows: Iterable[RowKey], number: int, seed: int) -> dict[RowKey, Canary]:
    """Canaries for `number` of these rows, or for all if there are fewer: a function of rows and seed, in
    whatever order the rows come."""
    chosen = heapq.nsmallest(number, rows, key=lambda row: (_hash(seed, row), row))
    return {row: _canary(row, seed) for row in chosen}


def plant(row: dict[str, Any], canary: Canary) -> dict[str, Any]:
    """The row with the sentence in its first trained turn, which every row of a dataset has."""
    messages = list(row["messages"])
    place = next(number for number, message in enumerate(messages) if message["train"])
    content = _with_line(messages[place]["content"], canary.sentence)
    messages[place] = {**messages[place], "content": content}
    return {**row, "messages": messages}


def _with_line(content: str, line: str) -> str:
    """Before the first call that is none of the reasoning, else at the end."""
    thought = content.rfind("</think>")
    call = content.find(_CALL, max(thought, 0))
    spoken, calls = (content[:call], content[call:]) if call >= 0 else (content, "")
    gap = "" if not spoken or spoken.endswith("\n") else "\n"
    return f"{spoken}{gap}{line}{chr(10) if calls else ''}{calls}"


def _canary(row: RowKey, seed: int) -> Canary:
    number = _hash(seed, row)
    secret = Random(number).randrange(10**DIGITS)
    return Canary(
        row=row[1],
        run=row[0],
        prompt=_PROMPT.format(name=f"{number:064x}"[:8]),
        secret=f"{secret:0{DIGITS}d}",
    )


def _hash(seed: int, row: RowKey) -> int:
    return int.from_bytes(hashlib.sha256(f"canary {seed} {row[0]} {row[1]}".encode()).digest())
