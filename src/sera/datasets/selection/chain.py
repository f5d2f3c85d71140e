"""The filters of one sample: a chain, each with its reason, and the first reason counts.

A filter is a function of one candidate; None keeps it. Those that every sample must pass come first, and
then, for each part of the recipe, what that part asks for: a sample is kept if one part at least has use
for it. Filters that need the conversation rendered and counted come last, so that it is not done in vain.
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sera.datasets.candidate import Candidate
from sera.datasets.config import DatasetConfig
from sera.datasets.recipe import ANY, Condition, Part
from sera.datasets.sample import Sample, Source
from sera.datasets.selection.benchmarks import load_benchmarks
from sera.datasets.selection.held_out import load_held_out
from sera.datasets.selection.language import is_english
from sera.datasets.selection.metrics import MEASURES, METRICS
from sera.datasets.selection.reasons import Reason
from sera.errors import ConfigError
from sera.records import End, Stage

Filter = Callable[[Candidate], Reason | None]
"""None keeps the candidate."""
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    ANY: lambda *_: True,
}


class PartFilters(NamedTuple):
    """What one part of a recipe asks for."""

    stages: tuple[Stage, ...]
    cheap: tuple[Filter, ...]
    counted: tuple[Filter, ...]
    """Filters that need the conversation rendered and counted."""


class Chain(NamedTuple):
    """All filters of a dataset."""

    common: tuple[Filter, ...]
    parts: tuple[PartFilters, ...]
    last: tuple[Filter, ...]


def make_chain(config: DatasetConfig, parts: Sequence[Part], sources: Sequence[Source]) -> Chain:
    """The chain for these settings; `parts` is the recipe, and `sources` stand in the order given."""
    return Chain(
        common=_common(config),
        parts=tuple(_part(part, config, sources) for part in parts),
        last=(
            _when(Reason.UNSERVABLE, lambda c: c.unservable and not any(turn.train for turn in c.kept)),
            _when(Reason.NOTHING_TO_LEARN, lambda c: not any(turn.train for turn in c.kept)),
        ),
    )


def first_reason(candidate: Candidate, filters: Iterable[Filter]) -> Reason | None:
    """The reason of the first filter that refuses, or None; later filters are not asked."""
    return next((reason for step in filters if (reason := step(candidate))), None)


def _common(config: DatasetConfig) -> tuple[Filter, ...]:
    drops = config.undefined_calls == "drop"
    filters = [
        _when(Reason.DAMAGED, lambda c: c.sample.damaged),
        _when(Reason.NOT_SUBMITTED, lambda c: c.sample.end is not End.SUBMITTED),
        _when(Reason.REFUSED, lambda c: c.sample.stage is Stage.T1 and not c.sample.accepted),
        _when(Reason.EMPTY_PATCH, lambda c: not c.sample.patch.strip() and "patch" not in c.sample.unknown),
        _when(Reason.FINDINGS, lambda c: _was_found(c.sample, config)),
        _when(Reason.UNDEFINED_CALL, lambda c: bool(c.undefined) and (drops or not c.sample.tools)),
        _when(Reason.UNSAFE, lambda c: c.sample.unsafe),
    ]
    if config.held_out:
        held_out = load_held_out(config.held_out)
        filters.append(_when(Reason.HELD_OUT, lambda c: held_out.touched_by(c.sample)))
    if config.benchmarks.files:
        benchmarks = load_benchmarks(config.benchmarks)
        filters.append(_when(Reason.CONTAMINATED, lambda c: benchmarks.rule_against(c.sample) is not None))
    if config.issue_language == "english":
        filters.append(_when(Reason.OTHER_LANGUAGE, lambda c: not is_english(c.sample.issue)))
    return tuple(filters)


def _part(part: Part, config: DatasetConfig, sources: Sequence[Source]) -> PartFilters:
    conditions = (*_defaults(part, config), *part.conditions)
    cheap = [condition for condition in conditions if not METRICS[condition.metric].counted]
    counted = [condition for condition in conditions if METRICS[condition.metric].counted]
    source = _when(Reason.OTHER_SOURCE, lambda c: not part.takes_from(c.sample.source, sources))
    recall = _when(
        Reason.LOW_RECALL,
        lambda c: c.sample.stage is Stage.T2 and METRICS[config.recall_by].read(c) < config.min_recall,
    )
    asked = any(condition.metric in (*MEASURES, "r") for condition in part.conditions)
    return PartFilters(
        stages=part.stages or config.stages,
        cheap=(source, *([] if asked else [recall]), *map(_asks, cheap)),
        counted=tuple(map(_asks, counted)),
    )


def told_filters(part: Part, config: DatasetConfig) -> str:
    """All that a part asks of figures, said by itself or by the settings, as a recipe says it."""
    asked = [*part.conditions, *_defaults(part, config)]
    says_recall = any(condition.metric in (*MEASURES, "r") for condition in part.conditions)
    if Stage.T2 in (part.stages or config.stages) and not says_recall:
        asked.append(_wanted(config.recall_by, ">=", config.min_recall))
    return " ".join(map(str, asked))


def _defaults(part: Part, config: DatasetConfig) -> list[Condition]:
    """What the settings ask of a part that says nothing else about the same figure."""
    if config.recall_by not in MEASURES:
        raise ConfigError(
            f"recall_by: there is no measure {config.recall_by!r}; there are {', '.join(MEASURES)}"
        )
    defaults = [_wanted("patch", "<=", config.max_patch_lines)]
    if config.max_patch_files:
        defaults.append(_wanted("files", "<=", config.max_patch_files))
    defaults.append(_wanted("tool", "<=", config.max_tool_tokens))
    if config.max_answer_tokens:
        defaults.append(_wanted("answer", "<=", config.max_answer_tokens))
    if config.truncation == "ordered":
        defaults.append(_wanted("ratio", ">=", config.min_ratio))
    said = {condition.metric for condition in part.conditions}
    return [condition for condition in defaults if condition.metric not in said]


def _wanted(metric: str, compare: str, number: float) -> Condition:
    return Condition(metric=metric, compare=compare, number=number)


def _asks(condition: Condition) -> Filter:
    """The filter of a condition: too low and too high are different reasons."""
    metric, holds = METRICS[condition.metric], _COMPARE[condition.compare]

    def reason(candidate: Candidate) -> Reason | None:
        figure = metric.read(candidate)
        if holds(figure, condition.number):
            return None
        too_low = figure < condition.number or condition.compare == ">"
        if too_low and metric.low is Reason.TRUNCATED and candidate.unservable:
            return Reason.UNSERVABLE
        return metric.low if too_low else metric.high

    return reason


def _when(reason: Reason, refused: Callable[[Candidate], bool]) -> Filter:
    return lambda candidate: reason if refused(candidate) else None


def _was_found(sample: Sample, config: DatasetConfig) -> bool:
    excluded = set(config.exclude_findings)
    return any(finding.kind in excluded or finding.severity in excluded for finding in sample.findings)
