"""Foreign trajectories as native samples. `IMPORTS` is the only list of formats.

What a format does not tell stays unknown: a sample without a T1 to be compared with has no agreement, one
without a patch says so in `Sample.unknown`, and a trajectory whose end nobody knows is refused until the
caller says that such ones were handed in. What the caller knows and the files do not tell is `Known`.

A broken document costs itself only: it is counted, and written out with its file, its line and its reason.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from sera.datasets.exchange.from_atif import read_atif
from sera.datasets.exchange.from_mini import read_mini
from sera.datasets.exchange.from_openai import read_openai
from sera.datasets.exchange.from_sera import read_sera
from sera.datasets.exchange.from_swe_agent import read_swe_agent
from sera.datasets.exchange.imported import (
    REFUSED,
    SAMPLES,
    ImportRecord,
    Refused,
    is_import,
    read_samples,
    write_record,
)
from sera.datasets.exchange.trajectory import Document, Json, Reason, Refusal, Trajectory, paired
from sera.datasets.folder import replacing
from sera.datasets.lines import json_line
from sera.datasets.manifest import sha256
from sera.datasets.sample import Sample, Source
from sera.errors import ConfigError, DatasetError, UsageError, boundary
from sera.formats.servers import Tools
from sera.records import Agreement, End, Message, Record, Stage, content_id


class Import(NamedTuple):
    """One format that trajectories can be read from."""

    read: Callable[[Path, str, Tools], Iterator[Document]]
    """(file, its name, tools if known) → its documents."""
    suffixes: tuple[str, ...]
    """How the names of its files end: what a folder is searched for."""
    about: str


IMPORTS: Mapping[str, Import] = {
    "swe-agent": Import(read_swe_agent, (".traj",), "SWE-agent's .traj"),
    "mini-swe-agent": Import(read_mini, (".traj.json",), "mini-swe-agent's .traj.json, versions 1 and 2"),
    "atif": Import(read_atif, (".json",), "the agent trajectory interchange format, 1.x"),
    "openai": Import(read_openai, (".jsonl",), "messages in OpenAI's form, one conversation a line"),
    "sera": Import(read_sera, (".jsonl",), "the rows that SERA's authors published, and text rows of ours"),
}


class Known(Record, frozen=True, kw_only=True):
    """What the caller knows of all trajectories and their files do not tell. Empty: nothing."""

    submitted: bool = False
    """That those whose end is not told were handed in."""
    stage: Stage = Stage.T2
    """Of those that name none: from an issue's text alone (`t2`), or from a vague prompt (`t1`)."""
    repository: str = ""
    commit: str = ""
    tools: tuple[Json, ...] = ()
    """Definitions of the tools that the agent had."""
    profile: str = ""
    """Hash of the harness profile, where the agent had one of ours."""
    patches: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Name of a task → the patch that its rollout handed in."""


Judge = Callable[[str, str], Agreement]
"""(patch of T1, patch of T2) → how far they agree."""


def import_trajectories(
    files: Sequence[Path], out: Path, origin: str, known: Known, judge: Judge
) -> ImportRecord:
    """Read trajectories of the format `origin` into the folder `out`, which is replaced whole or not
    touched. A folder among `files` stands for all files of the format below it.

    Raises `ConfigError` for an unknown format, `UsageError` if there is no such file, and `DatasetError`
    if not one trajectory could be taken or `out` holds something else.
    """
    if origin not in IMPORTS:
        raise ConfigError(f"there is no format {origin!r} to import: choose one of {', '.join(IMPORTS)}")
    named = dict(_find(files, IMPORTS[origin].suffixes))
    with boundary(UsageError, "a trajectory cannot be read"):
        checksums = {name: sha256(file) for name, file in named.items()}
    run = content_id(origin, sorted(checksums.values()), known)
    with boundary(DatasetError, f"import {out}"), replacing(out, is_import) as workspace:
        new = workspace / "new"
        with (new / SAMPLES).open("wb") as samples, (new / REFUSED).open("wb") as refused:
            desk = _Desk(origin, run, known, judge, samples, refused)
            for name, file in named.items():
                for document in IMPORTS[origin].read(file, name, known.tools):
                    desk.take(document)
        desk.tell_both(new)
        if not desk.taken:
            raise DatasetError(
                f"none of {len(named)} files of the format {origin} could be taken: {desk.why()}"
            )
        record = ImportRecord(
            format=origin,
            run=run,
            files=checksums,
            taken=desk.taken,
            refused=dict(sorted(desk.reasons.items())),
            unknown=dict(sorted((+desk.unknown).items())),
            sources=tuple(sorted(desk.sources, key=msgspec.structs.astuple)),
            samples=sha256(new / SAMPLES),
        )
        write_record(record, new)
    return record


def _find(files: Sequence[Path], suffixes: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """(name, file) of every file; `UsageError` if two would have one name or there is none."""
    seen = set()
    for given in files:
        inside = given.is_dir()
        found = sorted(path for path in given.rglob("*") if _fits(path, suffixes)) if inside else [given]
        if not found:
            raise UsageError(f"there is no file named *{' or *'.join(suffixes)} in {given}")
        for path in found:
            name = path.relative_to(given).as_posix() if inside else path.name
            name = f"{given.name}/{name}" if inside else name
            if name in seen:
                raise UsageError(f"two files are named {name}: give the folder above them")
            seen.add(name)
            yield name, path


def _fits(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.is_file() and path.name.endswith(suffixes)


class _Desk:
    """Takes one document after the other, and counts."""

    def __init__(
        self, origin: str, run: str, known: Known, judge: Judge, samples: IO[bytes], refused: IO[bytes]
    ) -> None:
        self.taken = 0
        self.reasons: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.sources: set[Source] = set()
        self._origin, self._run, self._known, self._judge = origin, run, known, judge
        self._samples, self._refused = samples, refused
        self._first: Refused | None = None
        self._indices: dict[str, int] = {}
        self._seen: set[str] = set()
        self._agreements: dict[str, Agreement] = {}

    def take(self, document: Document) -> None:
        """Write the document as a sample, or why it is none."""
        try:
            sample = self._sample(document.read())
        except Refusal as refusal:
            self._refuse(document, refusal.reason, refusal.detail)
        except msgspec.ValidationError as problem:
            self._refuse(document, Reason.WRONG_SHAPE, str(problem))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            self._refuse(document, Reason.UNREADABLE, str(problem))
        else:
            self._samples.write(json_line(sample))
            self.taken += 1
            self.sources.add(sample.source)
            self.unknown.update(sample.unknown)
            if sample.agreement:
                self._agreements[sample.task] = sample.agreement

    def tell_both(self, folder: Path) -> None:
        """Give the agreement that a T2 told to the T1 of its task, which may have come before it."""
        if not self._agreements:
            return
        told = folder / f"{SAMPLES}.new"
        with told.open("wb") as file:
            for sample in read_samples(folder):
                found = None if sample.agreement else self._agreements.get(sample.task)
                file.write(json_line(self._agreed(sample, found) if found else sample))
        told.replace(folder / SAMPLES)

    def _agreed(self, sample: Sample, agreement: Agreement) -> Sample:
        self.unknown["recall"] -= 1
        rest = tuple(name for name in sample.unknown if name != "recall")
        return msgspec.structs.replace(sample, agreement=agreement, unknown=rest)

    def why(self) -> str:
        """The refusals in one sentence."""
        if not self._first:
            return "there is no trajectory in them"
        first = self._first
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(self.reasons.items()))
        place = f"{first.file}, line {first.line}" if first.line else first.file
        cure = "; --submitted takes those that do not tell" if Reason.UNKNOWN_END in self.reasons else ""
        return f"{counts}; the first is {place}: {first.detail}{cure}"

    def _refuse(self, document: Document, reason: Reason, detail: str) -> None:
        refused = Refused(file=document.file, line=document.line, reason=reason, detail=detail)
        self._first = self._first or refused
        self.reasons[reason] += 1
        self._refused.write(json_line(refused))

    def _sample(self, found: Trajectory) -> Sample:
        known = self._known
        messages = _conversation(found.messages)
        if found.end is None and not known.submitted:
            raise Refusal(Reason.UNKNOWN_END, "its format does not tell whether it was handed in")
        patch = known.patches.get(found.name, found.patch)
        stage = found.stage or known.stage
        identity = content_id(self._origin, found.name, stage, messages, patch)
        if identity in self._seen:
            raise Refusal(Reason.REPEATED, f"the trajectory {found.name or identity} came before")
        self._seen.add(identity)
        task = content_id(found.name or identity)
        agreement = self._judge(found.target, patch) if found.target and patch is not None else None
        tools = list(known.tools) or found.tools
        return Sample(
            id=identity,
            task=task,
            index=self._indices.setdefault(task, len(self._indices)),
            stage=stage,
            end=found.end or End.SUBMITTED,
            messages=messages,
            patch=patch or "",
            agreement=agreement,
            category="",
            function=found.function,
            path=found.path,
            issue=found.issue,
            source=Source(
                repository=known.repository or found.repository or "unknown",
                commit=known.commit or found.commit or "unknown",
                run=self._run,
            ),
            profile=known.profile or content_id(self._origin, tools),
            tools=tools or [],
            teacher={"model": found.model} if found.model else {},
            unknown=tuple(_unknown(found, patch, agreement, tools)),
        )


def _conversation(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages, checked, with a system prompt: an empty one where there was none, since the tools
    are defined in it."""
    whole = paired(tuple(messages))
    if not any(message.role == "assistant" for message in whole):
        raise Refusal(Reason.NO_ANSWER, "no assistant speaks in it")
    return whole if whole[0].role == "system" else (Message(role="system"), *whole)


def _unknown(
    found: Trajectory, patch: str | None, agreement: Agreement | None, tools: list[Json] | None
) -> Iterator[str]:
    if patch is None:
        yield "patch"
    if agreement is None:
        yield "recall"
    if tools is None and any(message.tool_calls for message in found.messages):
        yield "tools"
    if not found.model:
        yield "model"
