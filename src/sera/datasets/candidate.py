"""A sample on its way into a dataset, with its figures. Each is measured when it is first asked for, so
that a sample refused by a cheap filter is neither rendered nor counted.
"""

import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec

from sera.datasets.config import DatasetConfig
from sera.datasets.proof.fault import Kind
from sera.datasets.sample import Sample
from sera.datasets.selection.patches import read_patch
from sera.datasets.selection.reasons import Reason
from sera.datasets.tokens import TokenCounter
from sera.datasets.truncation import Fit, cut, fit, fit_at_random
from sera.errors import DatasetError
from sera.formats import Format, Turn
from sera.formats.contract import arguments_of
from sera.formats.servers import schemas_of, undefined
from sera.formats.thinking import rethink
from sera.records import Record, Stage, content_id


class Figures(Record, frozen=True, kw_only=True, gc=False):
    """One sample in numbers; a line of `rejected.jsonl` when `reason` is set. Null: not measured."""

    id: str
    task: str
    index: int
    stage: Stage
    run: str
    reason: str = ""
    detail: str = ""
    """What was found, where the reason does not tell."""
    recall: float
    patch_lines: int
    patch_files: int
    tool_tokens: float | None = None
    """Mean length of a tool's answer."""
    answer_tokens: int | None = None
    """Length of the longest."""
    tokens: int | None = None
    """Length of the whole conversation."""
    ratio: float | None = None

    def __post_init__(self) -> None:
        for name in ("task", "run"):
            msgspec.structs.force_setattr(self, name, sys.intern(getattr(self, name)))

    @property
    def sequence(self) -> tuple[int, str, str, str, str]:
        """Sorts the same way, whatever order samples were finished or read in."""
        return self.index, self.stage, self.run, self.task, self.id


class Candidate:
    """One sample, rendered in one format and counted with one tokenizer."""

    def __init__(
        self,
        sample: Sample,
        style: Format,
        counter: TokenCounter,
        config: DatasetConfig,
        marks: Sequence[str] = (),
    ) -> None:
        """`marks`: texts that the student's tokenizer reads as the structure of a conversation."""
        self._marks = marks
        self.sample = sample
        self.detail = ""
        """What the filter that refuses it has to say, if anything."""
        self._style = style
        self._counter = counter
        self._config = config

    @property
    def recall(self) -> float:
        """Recall of the task, 0 if there is none: no second rollout has confirmed it."""
        return self.sample.agreement.recall if self.sample.agreement else 0.0

    @property
    def patch_lines(self) -> int:
        """Added and removed lines."""
        return read_patch(self.sample.patch).lines

    @property
    def patch_files(self) -> int:
        """Files changed; a renamed one counts twice."""
        return len(read_patch(self.sample.patch).files)

    @property
    def steps(self) -> int:
        """Replies of the assistant."""
        return sum(message.role == "assistant" for message in self.sample.messages)

    @cached_property
    def turns(self) -> list[Turn]:
        """The whole conversation in the dataset's format."""
        messages = self.sample.messages
        if not messages or messages[0].role != "system":
            raise DatasetError(
                f"sample {self.sample.id} does not begin with a system prompt, so the tools have no place "
                f"in it: build from the run's whole conversations"
            )
        thought = [rethink(message, self._config.think) for message in messages]
        turns = self._style.render(thought, self.sample.tools)
        spoken = (n for n, message in enumerate(messages) if message.role == "assistant")
        return [
            _masked(t) if t.origin == "assistant" and next(spoken) in self.undefined else t for t in turns
        ]

    @cached_property
    def undefined(self) -> dict[int, set[str]]:
        """Message → what it calls that its tools do not define, see `sera.formats.servers.undefined`."""
        schemas = schemas_of(self.sample.tools)
        found: dict[int, set[str]] = {}
        for number, message in enumerate(self.sample.messages):
            for call in message.tool_calls:
                if faults := undefined((call.name, arguments_of(call)), schemas):
                    found.setdefault(number, set()).update(faults)
        return found

    @property
    def conversation(self) -> dict[str, Any]:
        """The whole of it as a row: what a template is given."""
        tools = {"tools": self.sample.tools} if self._style.tools_column else {}
        return {"id": self.sample.id, "messages": [turn.row for turn in self.turns], **tools}

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each turn, template overhead included."""
        return self._counter.count(self.turns)

    @property
    def measured(self) -> bool:
        """Whether its turns were counted."""
        return "lengths" in self.__dict__

    @cached_property
    def tool_tokens(self) -> float:
        """Mean tokens of the turns in which tools answer, tags and template included."""
        answers = self._answers()
        return round(sum(answers) / len(answers), 1) if answers else 0.0

    @property
    def answer_tokens(self) -> int:
        """Tokens of the longest turn in which tools answer."""
        return max(self._answers(), default=0)

    @cached_property
    def fit(self) -> Fit:
        """What is left of the conversation within the limit, and before the first turn that is unservable."""
        ends = [turn.origin == "assistant" for turn in self.turns]
        if self._config.truncation == "random":
            found = fit_at_random(self.lengths, ends, self._config.max_tokens, self._draw())
        else:
            found = fit(self.lengths, ends, self._config.max_tokens)
        place = self._unservable(found.turns)
        return found if place is None else cut(self.lengths, ends, place)

    def _draw(self) -> float:
        """0 ≤ x < 1, by the sample and the seed."""
        return int(content_id(self.sample.source.run, self.sample.id, self._config.seed), 16) / 16**16

    def _answers(self) -> list[int]:
        pairs = zip(self.turns, self.lengths, strict=True)
        return [length for turn, length in pairs if turn.origin == "tool"]

    @property
    def unservable(self) -> bool:
        """Whether it was cut where it cannot be served, `detail` says why."""
        return self.fit.ratio < 1 and bool(self.detail)

    def _unservable(self, count: int) -> int | None:
        """The first of so many turns that cannot be served as it stands: its text holds a mark of the
        template, or it comes back from a server as another text and so stands before later ones."""
        last = max((n for n in range(count) if self.turns[n].origin == "assistant"), default=0)
        for number, turn in enumerate(self.turns[:count]):
            if mark := next((mark for mark in self._marks if mark in turn.text), ""):
                self.detail = f"message {number} holds {mark!r}, a mark of the chat template"
                return number
            if turn.origin != "assistant" or turn.train or number == last:
                continue
            if not self._comes_back(turn):
                self.detail = f"message {number} is read otherwise by servers than it was said"
                return number
        return None

    def _comes_back(self, turn: Turn) -> bool:
        try:
            return self._style.comes_back(turn, self.sample.tools)
        except RecursionError:  # arguments within arguments, a thousand deep
            return False

    @property
    def kept(self) -> list[Turn]:
        """The turns that are left."""
        return self.turns[: self.fit.turns]

    def figures(self, reason: str = "") -> Figures:
        """What has been measured so far."""
        counted = self.measured
        return Figures(
            id=self.sample.id,
            task=self.sample.task,
            index=self.sample.index,
            stage=self.sample.stage,
            run=self.sample.source.run,
            reason=reason,
            detail=self.detail if reason in (Reason.UNSERVABLE, Kind.UNRENDERABLE) else "",
            recall=self.recall,
            patch_lines=self.patch_lines,
            patch_files=self.patch_files,
            tool_tokens=self.tool_tokens if counted else None,
            answer_tokens=self.answer_tokens if counted else None,
            tokens=sum(self.lengths) if counted else None,
            ratio=self.fit.ratio if counted else None,
        )


def _masked(turn: Turn) -> Turn:
    """The turn as context only."""
    return msgspec.structs.replace(turn, train=False, row=turn.row | {"train": False})
