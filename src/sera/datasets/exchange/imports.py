"""Foreign trajectories as native samples. `IMPORTS` is the only list of formats.

What a format does not tell stays unknown: a sample without a T1 to be compared with has no agreement, one
without a patch says so in `Sample.unknown`, and a trajectory whose end nobody knows is refused until the
caller says that such ones were handed in. What the caller knows and the files do not tell is `Known`.

Tools are what a student cannot be asked without: where nobody tells them they are inferred from the calls of
all trajectories of the format, and the record says so. What a trajectory holds and a conversation of ours has
no place for is counted by its name. A format need not be named: files are recognised by their shape.

A broken document costs itself only: it is counted, and written out with its file, its line and its reason.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from sera.datasets.exchange.definitions import Inferred, defined_in
from sera.datasets.exchange.from_anthropic import looks_anthropic, read_anthropic
from sera.datasets.exchange.from_atif import looks_atif, read_atif
from sera.datasets.exchange.from_claude_code import looks_claude_code, read_claude_code
from sera.datasets.exchange.from_mini import looks_mini, read_mini
from sera.datasets.exchange.from_openai import looks_openai, read_openai
from sera.datasets.exchange.from_openhands import looks_openhands, read_openhands
from sera.datasets.exchange.from_sera import looks_sera, read_sera
from sera.datasets.exchange.from_sharegpt import looks_sharegpt, read_sharegpt
from sera.datasets.exchange.from_swe_agent import looks_swe_agent, read_swe_agent
from sera.datasets.exchange.imported import (
    REFUSED,
    SAMPLES,
    ImportRecord,
    Refused,
    imported_profile,
    is_import,
    read_samples,
    write_harness,
    write_record,
)
from sera.datasets.exchange.lines import first_values
from sera.datasets.exchange.trajectory import Document, Json, Reason, Refusal, Trajectory, paired
from sera.datasets.folder import replacing
from sera.datasets.lines import json_line
from sera.datasets.manifest import sha256
from sera.datasets.sample import Sample, Source
from sera.errors import ConfigError, DatasetError, UsageError, boundary
from sera.formats.servers import Tools
from sera.harness.profile import Profile
from sera.records import Agreement, End, Message, Record, Stage, content_id
from sera.untrusted import below


class Import(NamedTuple):
    """One format that trajectories can be read from."""

    read: Callable[[Path, str, Tools], Iterator[Document]]
    """(file, its name, tools if known) → its documents."""
    looks: Callable[[Any], bool]
    """Whether one of the first JSON values of a file is of this format."""
    suffixes: tuple[str, ...]
    """How the names of its files end: what a folder is searched for."""
    about: str


IMPORTS: Mapping[str, Import] = {
    "swe-agent": Import(read_swe_agent, looks_swe_agent, (".traj",), "SWE-agent's .traj"),
    "mini-swe-agent": Import(
        read_mini, looks_mini, (".traj.json",), "mini-swe-agent's .traj.json, versions 1 and 2"
    ),
    "atif": Import(read_atif, looks_atif, (".json",), "the agent trajectory interchange format, 1.x"),
    "claude-code": Import(read_claude_code, looks_claude_code, (".jsonl",), "sessions of Claude Code"),
    "openhands": Import(read_openhands, looks_openhands, (".jsonl", ".json"), "OpenHands' rows and events"),
    "sharegpt": Import(
        read_sharegpt, looks_sharegpt, (".jsonl", ".json"), "conversations in the form of ShareGPT"
    ),
    "anthropic": Import(read_anthropic, looks_anthropic, (".jsonl",), "messages in Anthropic's form"),
    "sera": Import(
        read_sera,
        looks_sera,
        (".jsonl",),
        "the rows that SERA's authors published, and any with calls in the text",
    ),
    "openai": Import(
        read_openai, looks_openai, (".jsonl",), "messages in OpenAI's form, one conversation a line"
    ),
}
"""In the order in which a file is compared with them: a form that others are made of comes after those."""
_MOST_LOST, _MOST_PROFILES = 100, 1000
"""Names of what is lost, and sets of tools, that are kept apart: a stranger chooses them."""
AUTO = "auto"
"""In the place of a format: each file's is recognised."""


def recognise(file: Path) -> str:
    """The format of a file by what it begins with; empty: none of them."""
    values = first_values(file)
    found = (name for name, one in IMPORTS.items() if any(one.looks(value) for value in values))
    return next(found, "")


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
    files: Sequence[Path],
    out: Path,
    origin: str,
    known: Known,
    judge: Judge,
    harness: Profile | None = None,
) -> ImportRecord:
    """Read trajectories of the format `origin` into the folder `out`, which is replaced whole or not
    touched; of the format `auto`, each file by its shape. A folder among `files` stands for all files of the
    format below it. `harness` is the profile whose hash `known` has.

    Raises `ConfigError` for an unknown format, `UsageError` if there is no such file, and `DatasetError`
    if not one trajectory could be taken or `out` holds something else.
    """
    if origin not in (AUTO, *IMPORTS):
        raise ConfigError(f"there is no format {origin!r} to import: choose one of {', '.join(IMPORTS)}")
    formats = IMPORTS.values() if origin == AUTO else [IMPORTS[origin]]
    suffixes = tuple(dict.fromkeys(suffix for one in formats for suffix in one.suffixes))
    named = dict(_find(files, suffixes))
    with boundary(UsageError, "a trajectory cannot be read"):
        checksums = {name: sha256(file) for name, file in named.items()}
        origins = {name: recognise(file) if origin == AUTO else origin for name, file in named.items()}
    told = ", ".join(sorted(filter(None, set(origins.values())))) or origin
    run = content_id(told, sorted(checksums.values()), known)
    with boundary(DatasetError, f"import {out}"), replacing(out, is_import) as workspace:
        new = workspace / "new"
        with (new / SAMPLES).open("wb") as samples, (new / REFUSED).open("wb") as refused:
            desk = _Desk(run, known, judge, samples, refused)
            for name, file in named.items():
                for document in _documents(origins[name], file, name, known.tools):
                    desk.take(document, origins[name])
        if not desk.taken:
            raise DatasetError(
                f"none of {len(named)} files of the format {told} could be taken: {desk.why()}"
            )
        profiles = desk.finish(new)
        if words := harness or desk.profiles.get(_most_frequent(profiles)):
            write_harness(words, new)
        record = ImportRecord(
            format=told,
            run=run,
            files=checksums,
            taken=desk.taken,
            refused=dict(sorted(desk.reasons.items())),
            unknown=dict(sorted((+desk.unknown).items())),
            lost=dict(sorted(desk.lost.items())),
            inferred=desk.inferred,
            profiles=dict(sorted(profiles.most_common(_MOST_PROFILES))),
            sources=tuple(sorted(desk.sources, key=msgspec.structs.astuple)),
            samples=sha256(new / SAMPLES),
        )
        write_record(record, new)
    return record


def _most_frequent(profiles: Counter[str]) -> str:
    return max(sorted(profiles), key=lambda name: profiles[name])


def _documents(origin: str, file: Path, name: str, tools: Tools) -> Iterator[Document]:
    """Those of a file; one that is refused if nobody knows its format."""
    if origin:
        yield from IMPORTS[origin].read(file, name, tools)
    else:
        yield Document(name, 0, partial(_of_no_format, bool(first_values(file))))


def _of_no_format(is_json: bool) -> Trajectory:
    if not is_json:
        raise Refusal(
            Reason.UNREADABLE, "it does not begin with JSON that can be read; --from says its format"
        )
    raise Refusal(Reason.WRONG_SHAPE, f"it looks like none of the formats {', '.join(IMPORTS)}")


def _find(files: Sequence[Path], suffixes: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """(name, file) of every file; `UsageError` if two would have one name or there is none."""
    seen = set()
    for given in files:
        inside = given.is_dir()
        if given.exists() and not (inside or given.is_file()):
            raise UsageError(f"{given} is no file that can be read twice: write what it holds to one")
        found = sorted(path for path in below(given) if _fits(path, suffixes)) if inside else [given]
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

    def __init__(self, run: str, known: Known, judge: Judge, samples: IO[bytes], refused: IO[bytes]) -> None:
        self.taken = 0
        self.reasons: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.sources: set[Source] = set()
        self.profiles: dict[str, Profile] = {}
        """Hash → what the agent was told, as far as it is known."""
        self._sets: dict[str, Profile] = {}
        """Hash of tools in any order → the profile in which they were told first."""
        self._run, self._known, self._judge = run, known, judge
        self._samples, self._refused = samples, refused
        self._first: Refused | None = None
        self._indices: dict[str, int] = {}
        self._seen: set[str] = set()
        self._agreements: dict[str, Agreement] = {}
        self._inferred: dict[str, Inferred] = {}
        """Format → the tools of those trajectories that do not tell them."""
        self._told: dict[str, set[str]] = defaultdict(set)
        """Format → profiles of those that do."""

    def take(self, document: Document, origin: str) -> None:
        """Write the document as a sample, or why it is none."""
        try:
            found = document.read()
            sample = self._sample(found, origin)
        except Refusal as refusal:
            self._refuse(document, refusal.reason, refusal.detail)
        except msgspec.ValidationError as problem:
            self._refuse(document, Reason.WRONG_SHAPE, str(problem))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
            self._refuse(document, Reason.UNREADABLE, str(problem))
        else:
            self._samples.write(json_line(sample))
            self.taken += 1
            self.sources.add(sample.source)
            self.unknown.update(sample.unknown)
            for name, number in found.lost.items():
                self.lost[name if name in self.lost or len(self.lost) < _MOST_LOST else "others"] += number
            if sample.profile == origin:
                self._inferred.setdefault(origin, Inferred()).see(sample.messages)
            if sample.agreement:
                self._agreements[sample.task] = sample.agreement

    @property
    def inferred(self) -> dict[str, int]:
        """Tool → the calls that it was inferred from; empty where all tools are told."""
        calls: Counter[str] = Counter()
        for origin, inferred in self._inferred.items():
            if not self._other_set(origin):
                calls.update(inferred.calls)
        return dict(sorted(calls.items()))

    def finish(self, folder: Path) -> Counter[str]:
        """Write what is known only when all have been read: the tools of those that do not tell them, and the
        agreement that a T2 told to the T1 of its task, which may have come before it. Returns how many
        samples have which profile."""
        owed = {origin: self._profile(origin, inferred) for origin, inferred in self._inferred.items()}
        profiles: Counter[str] = Counter()
        told = folder / f"{SAMPLES}.new"
        with told.open("wb") as file:
            for sample in read_samples(folder):
                if profile := owed.get(sample.profile):
                    sample = msgspec.structs.replace(sample, tools=profile.tools, profile=profile.hash)
                agreement = None if sample.agreement else self._agreements.get(sample.task)
                profiles[sample.profile] += 1
                file.write(json_line(self._agreed(sample, agreement) if agreement else sample))
        told.replace(folder / SAMPLES)
        return profiles

    def _profile(self, origin: str, inferred: Inferred) -> Profile:
        """Of trajectories that tell no tools: those of the others, if they all tell the same."""
        if other := self._other_set(origin):
            return other
        profile = imported_profile(origin, list(inferred.definitions()))
        self.profiles[profile.hash] = profile
        return profile

    def _other_set(self, origin: str) -> Profile | None:
        told = self._told[origin]
        return self.profiles[next(iter(told))] if len(told) == 1 else None

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

    def _sample(self, found: Trajectory, origin: str) -> Sample:
        """The sample; where its tools are owed, the format's name stands for its profile until `finish`."""
        known = self._known
        messages, in_prompt = _conversation(found)
        if found.end is None and not known.submitted:
            raise Refusal(Reason.UNKNOWN_END, "its format does not tell whether it was handed in")
        patch = known.patches.get(found.name, found.patch)
        stage = found.stage or known.stage
        identity = content_id(origin, found.name, stage, messages, patch)
        if identity in self._seen:
            raise Refusal(Reason.REPEATED, f"the trajectory {found.name or identity} came before")
        self._seen.add(identity)
        task = content_id(found.name or identity)
        agreement = self._judge(found.target, patch) if found.target and patch is not None else None
        tools = list(known.tools) or found.tools or in_prompt or []
        profile = known.profile or origin
        if tools and not known.profile:
            noted = self._note(origin, tools)
            tools, profile = noted.tools, noted.hash
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
            profile=profile,
            tools=tools,
            teacher={"model": found.model} if found.model else {},
            unknown=tuple(_unknown(found, patch, agreement, tools)),
        )

    def _note(self, origin: str, tools: list[Json]) -> Profile:
        """The profile with these tools, in the order and the spelling in which they were told first."""
        key = content_id(origin, sorted(content_id(tool) for tool in tools))
        profile = self._sets.get(key) or imported_profile(origin, tools)
        if len(self._sets) < _MOST_PROFILES:
            self._sets[key] = self.profiles[profile.hash] = profile
            self._told[origin].add(profile.hash)
        return profile


def _conversation(found: Trajectory) -> tuple[tuple[Message, ...], list[Json] | None]:
    """(the messages, checked, with a system prompt; the tools that it defines in its text, if the file does
    not tell them elsewhere). Where there is no prompt it is empty, since the tools are defined in it."""
    whole = paired([message for message in found.messages if not _is_nothing(message)])
    if empty := len(found.messages) - len(whole):
        found.lost["empty answer"] += empty
    if not any(message.role == "assistant" for message in whole):
        raise Refusal(Reason.NO_ANSWER, "no assistant speaks in it")
    first = whole[0]
    if first.role != "system":
        return (Message(role="system"), *whole), None
    tools, rest = defined_in(first.content) if _owes_tools(found) else (None, "")
    if not tools:
        return whole, None
    return (msgspec.structs.replace(first, content=rest), *whole[1:]), tools


def _is_nothing(message: Message) -> bool:
    """Whether an assistant says nothing at all: to be trained on, it would teach silence."""
    said = message.content.strip() or message.reasoning.strip() or message.tool_calls
    return message.role == "assistant" and not said


def _owes_tools(found: Trajectory) -> bool:
    return not found.tools and any(message.tool_calls for message in found.messages)


def _unknown(
    found: Trajectory, patch: str | None, agreement: Agreement | None, tools: list[Json]
) -> Iterator[str]:
    if patch is None:
        yield "patch"
    if agreement is None:
        yield "recall"
    if not tools and _owes_tools(found):
        yield "tools"
    if not found.model:
        yield "model"
