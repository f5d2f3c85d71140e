"""Reasoning that was recorded is in the loss, and no empty one is."""

import re
from collections.abc import Iterator

from sera.datasets.proof.case import Case
from sera.datasets.proof.fault import Fault, Kind

_EMPTY = re.compile(r"<think>\s*</think>")


def reasoning_is_kept(case: Case) -> Iterator[Fault]:
    for span, said in case.trained:
        message = case.messages[span.message]
        recorded = str(message.get("reasoning_content") or message.get("reasoning") or "").strip()
        if not recorded:
            recorded = (
                str(message.get("content") or "").partition("<think>")[2].partition("</think>")[0].strip()
            )
        if _EMPTY.search(said) and not recorded:
            yield case.fault(
                Kind.EMPTY_REASONING,
                f"the student is taught to think nothing: the template {case.student.template.name} or the "
                f"row has an empty <think> block; use the template chatml, which writes none",
                span,
            )
        elif recorded and recorded not in said:
            yield case.fault(
                Kind.REASONING_LOST,
                f"the template {case.student.template.name} drops reasoning: {recorded[:60]!r}. "
                f"{case.student.hint} Use the template chatml, or a text format, in training and serving",
                span,
            )
