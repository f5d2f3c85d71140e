"""Reasoning that was recorded is in the loss, and no empty one is."""

import re
from collections.abc import Iterator
from typing import Any

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
        if _EMPTY.match(said.lstrip()) if recorded else _EMPTY.search(said):
            yield case.fault(Kind.EMPTY_REASONING, _thinks_nothing(case, message, recorded), span)
        elif recorded and recorded not in said:
            yield case.fault(
                Kind.REASONING_LOST,
                f"the template {case.student.template.name} drops reasoning: {recorded[:60]!r}. "
                f"{case.student.hint} Use the template chatml, or {_other(case)}, in training and serving",
                span,
            )


def _other(case: Case) -> str:
    return "a text format" if case.setting.format == "raw" else "--format raw if it writes reasoning_content"


def _thinks_nothing(case: Case, message: dict[str, Any], recorded: str) -> str:
    """Who has written the block, and what helps against it."""
    if _EMPTY.search(str(message.get("content") or "")):
        return (
            "the student is taught to think nothing: the row's own text has an empty <think> block. Take it "
            "out of what the dataset was made from, or leave the sample out, and build the dataset again"
        )
    return (
        f"the student is taught to think nothing: the template {case.student.template.name} adds an empty "
        f"<think> block to a turn {'with' if recorded else 'without'} reasoning. Run the same sera dataset "
        f"build again with --template chatml, which adds none: sera train, the checkpoint and its servers "
        f"then use that template"
    )
