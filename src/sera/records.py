"""The nouns of the pipeline, as they stand on disk: frozen, typed, readable without this code.

A record is one JSON line. Fields are only ever added, with a default, and `SCHEMA` grows when the
meaning of one changes. Identity is by content: `content_id` of what makes a thing itself.

    Function ─ what can be sampled from a repository
    Task     ─ one function with a category and seeds: the unit of work of a run
    Replied, Answered ─ the two halves of a step of a rollout under way
    Rollout  ─ one trajectory of the agent with its end and its patch (stage t1 or t2)
    Finding  ─ what the audit of a rollout found in it
    Verdict  ─ the teacher's own yes/no on a t1 rollout
    PullRequest ─ the issue text written from a t1 trajectory
    Agreement   ─ how far two patches agree
    Pair     ─ the end of one task: which rollouts belong to it and what became of it
"""

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

SCHEMA = 1


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything stored: immutable, compared by value, tolerant of newer fields."""


def content_id(*parts: object) -> str:
    """Sixteen hex digits of the SHA-256 of `parts` as canonical JSON: the same everywhere, always."""
    canonical = msgspec.json.encode(parts, order="sorted")
    return hashlib.sha256(canonical).hexdigest()[:16]


# ── the repository ────────────────────────────────────────────────────────────────────────────────


class Layer(Record, frozen=True):
    """A working tree that all sandboxes of a run share, read-only from outside. Never stored."""

    tree: Path
    """Absolute path of a directory with the files and a `.git` that holds exactly one commit."""
    commit: str
    """Full hash of that commit."""


class Function(Record, frozen=True):
    """A function, method or nested function as it stands in the source."""

    id: str
    """`content_id` of path, qualified name and first line."""
    name: str
    """Qualified name inside its module, e.g. `Parser.read.<locals>.skip`."""
    path: str
    """POSIX path from the repository root."""
    line: int
    """First line, from 1, decorators included."""
    end_line: int
    """Last line, inclusive."""
    kind: str
    """`function`, `method` or `nested`."""
    is_async: bool = False
    is_test: bool = False
    """Whether it is test code, by its path or its name."""
    docstring: str = ""
    """First line of the docstring, or empty."""
    decorators: tuple[str, ...] = ()
    statements: int = 0
    """Statements in the body, docstring excluded, nested ones counted."""
    callers: tuple[str, ...] = ()
    """`path:qualified name` of functions in the repository that call a function of this name."""
    language: str = "python"
    """`python`, `javascript`, `typescript`, `go`, `rust` or `java`."""

    @property
    def lines(self) -> int:
        """Length in source lines."""
        return self.end_line - self.line + 1


class Task(Record, frozen=True):
    """The unit of work of a run: a place to start, and the seeds of every choice made for it."""

    id: str
    """`content_id` of snapshot, function, category order, demonstration and seed."""
    index: int
    """Position in the run's plan, from 0: the order of the dataset."""
    function: Function
    categories: tuple[str, ...]
    """The change category of each attempt at rollout t1; the second is used when the first is refused."""
    demonstration: str
    """Name of the issue text whose style the pull request follows."""
    seed: int
    """Sent to the teacher with every request of this task, mixed with stage and attempt."""


# ── a conversation ────────────────────────────────────────────────────────────────────────────────


class ToolCall(Record, frozen=True):
    """One call a model made. `arguments` is the text it produced, valid JSON or not."""

    id: str
    name: str
    arguments: str
    malformed: bool = False
    """Whether `arguments` is not a JSON object; set by the agent that refused the call."""
    repair: str = ""
    """What a tolerant reader had to overlook to find the call in a text; empty if it was well formed."""


class Message(Record, frozen=True):
    """One message of a conversation, in the roles of the chat-completions protocol."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    content: str = ""
    reasoning: str = ""
    """What an assistant thought before it spoke, without tags."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    """For the role `tool`: the call it answers."""


class Usage(Record, frozen=True):
    """Tokens of one or of many model calls, as the server reported them. Older versions believed any number,
    so in their records one may be below 0."""

    calls: int = 0
    prompt: int = 0
    """Prompt tokens, cached ones included."""
    cached: int = 0
    completion: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            calls=self.calls + other.calls,
            prompt=self.prompt + other.prompt,
            cached=self.cached + other.cached,
            completion=self.completion + other.completion,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(
            calls=self.calls - other.calls,
            prompt=self.prompt - other.prompt,
            cached=self.cached - other.cached,
            completion=self.completion - other.completion,
        )


# ── the stages of a task ──────────────────────────────────────────────────────────────────────────


class Stage(StrEnum):
    """Which of the two rollouts: from the vague prompt, or from the pull-request text."""

    T1 = "t1"
    T2 = "t2"


class End(StrEnum):
    """How a rollout ended. Only `SUBMITTED` yields training data."""

    SUBMITTED = "submitted"
    STEP_LIMIT = "step_limit"
    """The agent used up its model calls."""
    WALL_CLOCK = "wall_clock"
    """The rollout outlived its time."""
    MALFORMED = "malformed"
    """Too many replies in a row without a usable tool call."""
    CONTEXT = "context"
    """The conversation outgrew the teacher's context."""
    FAILED = "failed"
    """Sandbox or teacher broke; owed again. `Rollout.error` says why."""


class Replied(Record, frozen=True, tag="replied"):
    """A model's reply inside a rollout under way, stored before its tool call runs."""

    number: int
    """Of the step, from 0."""
    message: Message
    finish_reason: str
    usage: Usage
    at: float = 0.0
    """When, in seconds since 1970; 0 in records that are older than this field."""
    asked: str = ""
    """As in the record that the replies lead to."""


class Answered(Record, frozen=True, tag="answered"):
    """What followed a reply, stored before the model is asked again."""

    number: int
    messages: tuple[Message, ...]
    tree: str
    """`Sandbox.state` afterwards."""


class Severity(StrEnum):
    """How much a finding of the audit weighs."""

    CHEATING = "cheating"
    """It looked where the answer may lie, and was shown something."""
    ATTEMPT = "attempt"
    """It tried what the sandbox does not allow, or what may spoil the data."""
    NOTE = "note"
    """Harmless by itself."""


class Finding(Record, frozen=True):
    """One kind of thing that the audit found in a rollout, told by its first occurrence."""

    kind: str
    """As in `agent/audit.toml`, e.g. `installed-copy`."""
    severity: Severity
    message: int
    """Index into `Rollout.messages` of the call; -1 for the patch."""
    evidence: str
    """The beginning of what matched."""
    times: int = 1


class Rollout(Record, frozen=True):
    """One trajectory: the whole conversation, how it ended and what it changed."""

    id: str
    """`rollout_id` of task, stage and attempt."""
    task: str
    stage: Stage
    attempt: int
    """From 0; T1 is attempted again when the self-check refuses it."""
    end: End
    messages: tuple[Message, ...]
    patch: str = ""
    """Unified diff of the whole tree against the snapshot; empty if nothing changed."""
    usage: Usage = Usage()
    error: str = ""
    category: str = ""
    """The category prompted for (T1), empty for T2."""
    teacher: dict[str, Any] = {}
    """Model and sampling settings, without any key."""
    profile: str = ""
    """Hash of the harness profile in use."""
    seed: int = 0
    seconds: float = 0.0
    """Wall-clock time, of the last process that worked on it."""
    restarts: int = 0
    """Times it was begun anew because its tree could not be rebuilt after an interruption."""
    redactions: dict[str, int] = {}
    """Kind of secret → placeholders in the messages and the patch; a private key counts by the line."""
    findings: tuple[Finding, ...] = ()
    """What the audit found."""
    asked: str = ""
    """`content_id` of the request: a rollout for another one stands for nothing. Empty in older records, as
    in those below."""
    left_out: int = 0
    """Files that are not in the patch, being products of tools. 0 in records that are older than this field,
    whose patches have them all."""
    products: tuple[str, ...] = ()
    """The first few of those; a directory `x/` stands for all in it."""
    schema: int = SCHEMA


def rollout_id(task: str, stage: Stage, attempt: int, turn: int = 0) -> str:
    """The id of a task's rollout, known before there is one. `turn` counts the times that the task
    was put back into the queue."""
    return content_id(task, stage, attempt, *([turn] if turn else []))


class Verdict(Record, frozen=True):
    """The teacher's self-check of a T1 rollout: is the edit a valid answer to the prompt?"""

    rollout: str
    accepted: bool
    text: str
    """The whole answer, for the reader."""
    usage: Usage = Usage()
    asked: str = ""
    """`content_id` of the conversation with the question."""
    schema: int = SCHEMA


class PullRequest(Record, frozen=True):
    """The issue text written from a T1 trajectory: the whole prompt of rollout T2."""

    rollout: str
    """The T1 rollout it was written from."""
    text: str
    demonstration: str
    usage: Usage = Usage()
    asked: str = ""
    """`content_id` of the conversation with the question."""
    schema: int = SCHEMA


Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Agreement(Record, frozen=True):
    """How far patch `b` repeats patch `a`, in changed lines.

    `recall` is the figure of the paper: the multiset of added and removed lines of both, sign and
    indentation kept, blank lines and file names ignored, |a ∩ b| / |a|. The others read the diff
    with a parser and differ where the paper's reading goes wrong; see `sera.generation.recall`.
    All ratios lie in 0…1; a patch without changed lines gives 0.
    """

    recall: Ratio
    precision: Ratio
    f1: Ratio
    file_recall: Ratio
    """As recall, but a line counts only in the same file, and renames and binary changes count."""
    lines_a: int
    lines_b: int
    common: int
    place_recall: Ratio = 0.0
    """As file recall, but a line counts only at its place in the tree that both started from. 0 in records
    that are older than this measure."""


class State(StrEnum):
    """What became of a task."""

    COMPLETE = "complete"
    """Both rollouts submitted; `Pair.agreement` is set."""
    T1_UNFINISHED = "t1_unfinished"
    T1_EMPTY = "t1_empty"
    """T1 was submitted without a change."""
    REJECTED = "rejected"
    """The self-check refused every attempt at T1."""
    UNREADABLE = "unreadable"
    """The teacher's pull request could not be read from its answer."""
    T2_UNFINISHED = "t2_unfinished"
    DROPPED = "dropped"
    """Somebody gave it up."""
    FAILED = "failed"
    """Sandbox or teacher broke: owed again."""
    REQUEUED = "requeued"
    """Somebody wants it done anew: owed again, and what was recorded of it before no longer counts."""


class Pair(Record, frozen=True):
    """The end of one task. Written last: a task without a pair is owed."""

    task: str
    index: int
    state: State
    reason: str = ""
    """For every state but `complete`: what happened, e.g. `step_limit`, or an error's text."""
    t1: str = ""
    t2: str = ""
    agreement: Agreement | None = None
    finished: float = 0.0
    """When, in seconds since 1970."""
    schema: int = SCHEMA
