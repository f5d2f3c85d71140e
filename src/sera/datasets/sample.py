"""What a dataset is built from: one rollout with all that is known of it, whoever recorded it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from sera.records import Agreement, End, Finding, Message, Record, Stage


def is_rehearsal(teacher: Mapping[str, Any]) -> bool:
    """Whether a teacher, by its settings, is the one that plays by a script, here or at an address."""
    return "rehearsal" in (teacher.get("kind"), teacher.get("model"))


def teacher_name(teacher: Mapping[str, Any]) -> str:
    """What a teacher is called where its rows are read; empty if nobody said."""
    return "rehearsal" if is_rehearsal(teacher) else str(teacher.get("model", ""))


class Source(Record, frozen=True, kw_only=True):
    """One run over one commit of one repository."""

    repository: str
    """Its name as published, e.g. `django/django`; never a path on this machine."""
    commit: str
    run: str
    """Identity of the run, the same wherever its directory lies."""
    before: tuple[str, ...] = ()
    """Commits that `commit` was seen not to be newer than, when the run began: see `repositories.history`."""
    licence: str = "unknown"
    """SPDX identifier of the repository's licence, as far as its files tell."""
    dirty: bool = False
    """Whether changes that were not committed were part of the files."""

    @property
    def version(self) -> str:
        """The commit, and that it is not all, for readers."""
        return f"{self.commit} with uncommitted changes" if self.dirty else self.commit


class Sample(Record, frozen=True, kw_only=True):
    """One rollout. A T1 and a T2 of one task share `task` and `index`, and differ in `stage`."""

    id: str
    """`Rollout.id`."""
    task: str
    index: int
    """`Task.index`."""
    stage: Stage
    end: End
    messages: tuple[Message, ...]
    """The whole conversation, system prompt first."""
    patch: str
    """The unified diff of this rollout."""
    findings: tuple[Finding, ...] = ()
    """What the audit of this rollout found."""
    accepted: bool = True
    """T1: the self-check's answer, false where it was owed and never given. True where the run asked for
    none, and for T2."""
    agreement: Agreement | None = None
    """How far T2 of the task repeats its T1, for both of them; None if the task has no finished T2."""
    category: str
    """The change category of the task's T1, for both of them."""
    issue: str = ""
    """T2: the issue text it worked from, without what the harness says around it."""
    function: str
    """Qualified name of the function the task started from."""
    path: str
    """POSIX path of its module from the repository root."""
    source: Source
    profile: str
    """Hash of the harness profile."""
    tools: list[dict[str, Any]]
    """Tool definitions in the chat-completions form."""
    teacher: dict[str, Any]
    """Model and sampling settings, without any key."""
    unsafe: bool = False
    """Whether the scan found what the settings want out of the dataset altogether."""
    damaged: bool = False
    """Whether its record, or one that it needs, is not whole: all that the rollout said is empty then."""
    unknown: tuple[str, ...] = ()
    """Of a sample that another project recorded: what it did not tell, e.g. `patch`. Such a field is empty
    here, and means nothing; but `tools` are then those that the import inferred."""


encode_sample = msgspec.msgpack.Encoder().encode
decode_sample = msgspec.msgpack.Decoder(Sample).decode
