"""What becomes of samples by themselves: rows, or reasons. A function of sample and settings alone, so that
many processes can share the work, and a result found before an interruption still holds.

    stage ─► prepare ─► common filters ─► cheap filters of each part ─► rendered and counted, all together
         ─► counted filters of each part ─► last filters ─► check ─► row
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from sera.datasets.candidate import Candidate, Figures
from sera.datasets.config import DatasetConfig
from sera.datasets.lines import json_line
from sera.datasets.measure import measure, recount
from sera.datasets.proof.fault import Kind
from sera.datasets.recipe import Part
from sera.datasets.rendering import load_student
from sera.datasets.sample import Sample, Source, decode_sample, teacher_name
from sera.datasets.selection.chain import Filter, first_reason, make_chain
from sera.datasets.selection.duplicates import claim_of
from sera.datasets.selection.near import sign
from sera.datasets.selection.reasons import Reason
from sera.datasets.steps import Tallies, make_steps
from sera.datasets.tokens import TokenCounter
from sera.formats import find_format
from sera.records import Agreement, Record

_NONE = Agreement(recall=0, precision=0, f1=0, file_recall=0, lines_a=0, lines_b=0, common=0)


class Decision(Record, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What must be known of a sample once it is decided: all that a build keeps in memory."""

    figures: Figures
    parts: int = 0
    """Parts of the recipe it may stand for, a bit each; 0: it is refused."""
    category: str = ""
    path: str = ""
    function: str = ""
    claim: bytes = b""
    """The T1 patch it owns, if nobody owned it before."""
    patch_signature: bytes = b""
    issue_signature: bytes = b""
    tokens: int = 0
    """Length after the cut; `figures.tokens` is that before it."""
    untrained: int = 0
    """Assistant turns not trained on."""
    teacher: str = ""
    """Its settings as JSON."""
    tallies: dict[str, int] = msgspec.field(default_factory=dict)
    start: int = 0
    """Place and size of the row in the spool, in bytes."""
    size: int = 0
    check: int = 0
    """CRC-32 of the row."""

    def __post_init__(self) -> None:
        for name in ("category", "path", "function", "teacher"):
            msgspec.structs.force_setattr(self, name, sys.intern(getattr(self, name)))


class Outcome(NamedTuple):
    """A decision, and the row as a JSON line; empty if there is none."""

    decision: Decision
    row: bytes


class _Case:
    """A sample while it is being decided."""

    def __init__(self, candidate: Candidate, tallies: Tallies, parts: list[int]) -> None:
        self.candidate = candidate
        self.tallies = tallies
        self.parts = parts
        """Parts of the recipe that still have use for it."""
        self.reason: Reason | Kind | None = None

    def refuse(self, reason: Reason | Kind | None) -> bool:
        """Note a reason, if there is one: it leaves no part."""
        if reason:
            self.reason, self.parts = reason, []
        return bool(reason)


class Decider:
    """Decides samples. Makes itself ready once: tokenizer, filters, lists."""

    def __init__(self, config: DatasetConfig, parts: Sequence[Part], sources: Sequence[Source]) -> None:
        self._config = config
        self._student = load_student(config.student, config.tokenizer, config.template)
        self._counter = TokenCounter(self._student.encoder)
        self._style = find_format(config.format)
        self._chain = make_chain(config, parts, sources)
        self._steps = make_steps(config)

    def decide(self, samples: Sequence[Sample]) -> list[Outcome]:
        """The outcome of each sample, in order."""
        cases = [self._case(sample) for sample in samples]
        for case in cases:
            self._judge_cheaply(case)
        measure([case.candidate for case in cases if case.parts], self._counter, self._student)
        for case in cases:
            case.refuse(None if not case.parts or case.candidate.measured else Kind.UNRENDERABLE)
        for case in cases:
            self._judge_by_count(case)
        return [self._outcome(case) for case in cases]

    def _case(self, sample: Sample) -> _Case:
        """A sample, prepared if some part has use for its stage: the scan is no small part of the work."""
        parts = [n for n, part in enumerate(self._chain.parts) if sample.stage in part.stages]
        tallies: Tallies = Counter()
        for prepare in self._steps.prepare if parts else ():
            sample = prepare(sample, tallies)
        candidate = Candidate(sample, self._style, self._counter, self._config, self._student.marks)
        for faults in candidate.undefined.values() if parts else ():
            tallies.update(f"call/{fault}" for fault in faults)
        case = _Case(candidate, tallies, parts)
        case.refuse(None if parts else Reason.OTHER_STAGE)
        return case

    def _judge_cheaply(self, case: _Case) -> None:
        if case.parts and not case.refuse(first_reason(case.candidate, self._chain.common)):
            self._narrow(case, [part.cheap for part in self._chain.parts])

    def _judge_by_count(self, case: _Case) -> None:
        if case.parts:
            self._narrow(case, [part.counted for part in self._chain.parts])
        if case.parts:
            case.refuse(first_reason(case.candidate, self._chain.last))
        if case.parts and not recount(case.candidate, self._student):
            case.refuse(Kind.UNRENDERABLE)
        if case.parts and case.candidate.fit.tokens > self._config.max_tokens:
            case.refuse(Reason.TRUNCATED)
        if case.parts:
            for check in self._steps.check:
                check(case.candidate, case.tallies)

    def _narrow(self, case: _Case, filters: Sequence[Sequence[Filter]]) -> None:
        """Leave the parts whose filters pass; if there is none, the first part's reason counts."""
        reasons = {part: first_reason(case.candidate, filters[part]) for part in case.parts}
        left = [part for part, reason in reasons.items() if reason is None]
        if not left:
            case.reason = next(iter(reasons.values()))
        case.parts = left

    def _outcome(self, case: _Case) -> Outcome:
        candidate, sample = case.candidate, case.candidate.sample
        patches, issues = self._config.near.signed
        row = json_line(_columns(candidate, self._style.tools_column)) if case.parts else b""
        claim = claim_of(sample)
        decision = Decision(
            figures=candidate.figures(case.reason or ""),
            parts=sum(1 << part for part in case.parts),
            category=sample.category,
            path=sample.path,
            function=sample.function,
            claim=claim,
            patch_signature=sign(sample.patch) if patches and claim else b"",
            issue_signature=sign(sample.issue) if issues and row else b"",
            tallies=dict(case.tallies),
        )
        if row:
            kept = candidate.kept
            decision = msgspec.structs.replace(
                decision,
                tokens=candidate.fit.tokens,
                untrained=sum(turn.origin == "assistant" and not turn.train for turn in kept),
                teacher=msgspec.json.encode(sample.teacher, order="sorted").decode(),
            )
        return Outcome(decision, row)


def excluded(sample: Sample) -> Decision:
    """What is known of a sample that is left out unseen."""
    agreement = sample.agreement or _NONE
    return Decision(
        figures=Figures(
            id=sample.id,
            task=sample.task,
            index=sample.index,
            stage=sample.stage,
            run=sample.source.run,
            reason=Reason.EXCLUDED,
            recall=agreement.recall,
            patch_lines=0,
            patch_files=0,
        )
    )


class Deciding(Record, frozen=True, tag="deciding"):
    """The job of processes that decide samples, as `encode_sample` writes them."""

    config: DatasetConfig
    parts: tuple[Part, ...]
    sources: tuple[Source, ...]

    def start(self) -> Callable[[Sequence[bytes]], list[Outcome]]:
        decider = Decider(self.config, self.parts, self.sources)
        return lambda batch: decider.decide([decode_sample(sample) for sample in batch])

    def read(self, answer: bytes) -> list[Outcome]:
        return msgspec.msgpack.decode(answer, type=list[Outcome])


def _columns(candidate: Candidate, tools_column: bool) -> dict[str, Any]:
    """One row: the same keys and types in every row of a dataset, nothing null."""
    sample, agreement = candidate.sample, candidate.sample.agreement or _NONE
    tools = {"tools": msgspec.json.encode(sample.tools).decode()} if tools_column else {}
    return {
        "id": sample.id,
        "messages": [turn.row for turn in candidate.kept],
        **tools,
        "task": sample.task,
        "index": sample.index,
        "stage": sample.stage,
        "recall": float(agreement.recall),
        "f1": float(agreement.f1),
        "file_recall": float(agreement.file_recall),
        "place_recall": float(agreement.place_recall),
        "patch_lines": candidate.patch_lines,
        "ratio": candidate.fit.ratio,
        "tokens": candidate.fit.tokens,
        "category": sample.category,
        "function": sample.function,
        "path": sample.path,
        "repository": sample.source.repository,
        "commit": sample.source.commit,
        "run": sample.source.run,
        "teacher": teacher_name(sample.teacher),
    }
