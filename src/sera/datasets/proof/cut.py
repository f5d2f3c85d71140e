"""A row ends with a whole turn, fits the context, and has the length that it says."""

import re
from collections.abc import Iterator

from sera.datasets.proof.case import Case
from sera.datasets.proof.fault import Fault, Kind
from sera.formats.servers import CLOSE, OPEN, split_turn

_WHOLE_CALL = re.compile(f"{OPEN}.*?{CLOSE}", re.DOTALL)


def cut_at_a_turn(case: Case) -> Iterator[Fault]:
    found, length = case.rendered, len(case.rendered.ids)
    last = found.turns[-1] if found.turns else None
    if case.row.get("ratio", 1) < 1 and case.messages[-1]["role"] != "assistant":
        yield case.fault(Kind.CUT_TURN, "the cut row ends with somebody else's turn", place=length - 1)
    if last and last.train:
        _, spoken = split_turn(case.said(last))
        if OPEN in _WHOLE_CALL.sub("", spoken) or not case.ends(last):
            yield case.fault(Kind.CUT_CALL, "the row ends within a call", last, place=last.stop - 1)
    limit = case.setting.max_tokens
    if limit is not None and length > limit:
        yield case.fault(Kind.TOO_LONG, f"the row has {length:,} tokens, its limit is {limit:,}", place=limit)
    if case.setting.counted and case.row.get("tokens", length) != length:
        yield case.fault(Kind.COUNT_DIFFERS, f"the row has {length:,} tokens and says {case.row['tokens']:,}")


def begins_once(case: Case) -> Iterator[Fault]:
    """The token for the beginning stands there once."""
    bos, ids = case.student.bos, case.rendered.ids
    if bos and ids[:2] == [case.student.tokenizer.token_to_id(bos)] * 2:
        yield case.fault(Kind.DOUBLE_BOS, f"the row begins with {bos!r} twice", place=1)
