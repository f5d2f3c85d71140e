"""One row under examination, with what the proofs share."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import msgspec

from sera.datasets.proof.fault import Fault, Kind, Shown
from sera.datasets.rendering.render import Rendered, Row, Span, template_tools
from sera.datasets.rendering.student import Student
from sera.formats import tools_in
from sera.formats.servers import HERMES, XML, Parser, Tools

_AROUND = 8
"""Tokens shown on each side of a place."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset's manifest says that its rows are held to."""

    format: str
    runs: frozenset[str] | None = None
    """Runs among its sources; None if it does not say."""
    max_tokens: int | None = None
    counted: bool = False
    """Whether the rows' own token counts are of this student."""


class Case:
    """One row of a dataset as it is rendered for a student."""

    def __init__(self, row: Row, rendered: Rendered, student: Student, setting: Setting) -> None:
        self.row = row
        self.rendered = rendered
        self.student = student
        self.setting = setting
        self.messages: Sequence[dict[str, Any]] = row["messages"]

    @property
    def parsers(self) -> dict[str, Parser]:
        """How each server reads the calls of this dataset."""
        return dict(XML if self.setting.format == "xml" else HERMES)

    @cached_property
    def tools(self) -> Tools:
        """The tool definitions, from their column or from the system prompt."""
        if "tools" in self.row:
            return template_tools(self.row)
        return _tools_in(self.setting.format, str(self.messages[0]["content"]))

    @property
    def trained(self) -> Iterator[tuple[Span, str]]:
        """The turns in the loss, each with what the assistant says in it."""
        return ((span, self.said(span)) for span in self.rendered.turns if span.train)

    @cached_property
    def edges(self) -> list[int]:
        """Where turns of the assistant begin and end, in tokens, between 0 and the end of the row."""
        places = (place for span in self.rendered.turns for place in (span.first, span.stop))
        return [0, *places, len(self.rendered.ids)]

    @cached_property
    def pieces(self) -> list[str]:
        """What the tokens between the edges decode to: what others say and a turn by turns, others first."""
        ids = self.rendered.ids
        return [self.student.decode_after(ids[max(a - 1, 0) : a], ids[a:b]) for a, b in pairwise(self.edges)]

    def said(self, span: Span) -> str:
        """The words of a turn, with those that the prompt has opened it with, without its end."""
        text = self.rendered.text[span.start : span.end]
        words = text.rpartition(self.student.end)[0] if self.student.end in text else text
        return self.opened(span) + words

    def opened(self, span: Span) -> str:
        """What the prompt says for the assistant, as `<think>`, where it is no part of the turn."""
        opened = self.student.frame.opened
        return opened if self.rendered.text.endswith(opened, 0, span.start) else ""

    def ends(self, span: Span) -> bool:
        """Whether a turn ends with the mark that ends turns, and has no other. Where the template itself says
        what a turn is, any mark will do."""
        text = self.rendered.text[span.start : span.end]
        if self.student.template.generates:
            return text.rstrip().endswith(tuple(self.student.added))
        return text.endswith(self.student.end) and text.count(self.student.end) == 1

    def fault(self, kind: Kind, message: str, span: Span | None = None, place: int | None = None) -> Fault:
        """A fault, with the tokens around `place`, or else the beginning of the turn."""
        if place is None and span:
            place = span.first
        shown = self.show(place) if place is not None else ()
        return Fault(kind, str(self.row.get("id", "")), span.message if span else None, message, shown)

    def show(self, place: int) -> tuple[Shown, ...]:
        """The tokens around a place of the row."""
        found = self.rendered
        numbers = range(max(place - _AROUND, 0), min(place + _AROUND, len(found.ids)))
        return tuple(
            Shown(self.student.decode([found.ids[n]]), found.mask[n], here=n == place) for n in numbers
        )


@lru_cache(maxsize=8)
def _tools_in(style: str, prompt: str) -> Tools:
    """The prompt is the same in all rows of a run."""
    return tools_in(style, prompt)


def guess_format(row: Row) -> str:
    """The format of a row that no manifest describes."""
    messages = row["messages"]
    if "tools" in row or any("tool_calls" in message for message in messages):
        return "raw"
    says = (str(message.get("content")) for message in messages if message.get("role") == "assistant")
    return "xml" if any(re.search(r"<tool_call>\s*<function=", text) for text in says) else "hermes"
