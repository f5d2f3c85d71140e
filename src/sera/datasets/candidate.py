"""A sample on its way into a dataset, with its figures. Each is measured when it is first asked for, so
that a sample refused by a cheap filter is neither rendered nor counted.
"""

from functools import cached_property

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from sera.datasets.config import DatasetConfig
from sera.datasets.formats import Format, Turn
from sera.datasets.sample import Sample
from sera.datasets.tokens import TokenCounter
from sera.datasets.truncation import Fit, fit
from sera.errors import DatasetError
from sera.records import Record, Stage


class Figures(Record, frozen=True, kw_only=True):
    """One sample in numbers; a line of `rejected.jsonl` when `reason` is set. Null: not measured."""

    id: str
    task: str
    index: int
    stage: Stage
    run: str
    reason: str = ""
    recall: float
    patch_lines: int
    tool_tokens: float | None = None
    """Mean length of a tool's answer."""
    tokens: int | None = None
    """Length of the whole conversation."""
    ratio: float | None = None

    @property
    def sequence(self) -> tuple[int, str, str, str, str]:
        """Sorts the same way, whatever order samples were finished or read in."""
        return self.index, self.stage, self.run, self.task, self.id


class Candidate:
    """One sample, rendered in one format and counted with one tokenizer."""

    def __init__(self, sample: Sample, style: Format, counter: TokenCounter, config: DatasetConfig) -> None:
        self.sample = sample
        self._style = style
        self._counter = counter
        self._limit = config.max_tokens

    @property
    def recall(self) -> float:
        """Recall of the task, 0 if there is none: no second rollout has confirmed it."""
        return self.sample.agreement.recall if self.sample.agreement else 0.0

    @cached_property
    def patch_lines(self) -> int:
        """Added and removed lines, blank ones included; by their sign alone if the diff is malformed."""
        try:
            parsed = PatchSet(self.sample.patch, metadata_only=True)
        except UnidiffParseError:
            return sum(line.startswith(("+", "-")) for line in self.sample.patch.split("\n"))
        return parsed.added + parsed.removed

    @cached_property
    def turns(self) -> list[Turn]:
        """The whole conversation in the dataset's format."""
        messages = self.sample.messages
        if not messages or messages[0].role != "system":
            raise DatasetError(
                f"sample {self.sample.id} does not begin with a system prompt, so the tools have no place "
                f"in it: build from the run's whole conversations"
            )
        return self._style.render(messages, self.sample.tools)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each turn, template overhead included."""
        return self._counter.count(self.turns)

    @cached_property
    def tool_tokens(self) -> float:
        """Mean tokens of the turns in which tools answer, tags and template included."""
        pairs = zip(self.turns, self.lengths, strict=True)
        answers = [length for turn, length in pairs if turn.origin == "tool"]
        return round(sum(answers) / len(answers), 1) if answers else 0.0

    @cached_property
    def fit(self) -> Fit:
        """What is left of the conversation within the limit."""
        return fit(self.lengths, [turn.origin == "assistant" for turn in self.turns], self._limit)

    @property
    def kept(self) -> list[Turn]:
        """The turns that are left."""
        return self.turns[: self.fit.turns]

    def figures(self, reason: str = "") -> Figures:
        """What has been measured so far."""
        counted = "lengths" in self.__dict__
        return Figures(
            id=self.sample.id,
            task=self.sample.task,
            index=self.sample.index,
            stage=self.sample.stage,
            run=self.sample.source.run,
            reason=reason,
            recall=self.recall,
            patch_lines=self.patch_lines,
            tool_tokens=self.tool_tokens if counted else None,
            tokens=sum(self.lengths) if counted else None,
            ratio=self.fit.ratio if counted else None,
        )
