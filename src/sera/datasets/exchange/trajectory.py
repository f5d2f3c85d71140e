"""A foreign trajectory before it is a sample: what its format tells, and nothing that it does not.

A reader yields one `Document` for each place in a file where a trajectory should be. `Refusal` is why
one of them is none: a reason that is counted, and a sentence that is written out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from sera.datasets.exchange.thoughts import NAMES, is_thought, parted, plain_text, reasoning_of, together
from sera.formats.contract import arguments_of
from sera.formats.messages import decode_message
from sera.records import End, Message, Stage
from sera.untrusted import decode

Json = dict[str, Any]
_ROLES = {"developer": "system"}
"""Names that protocols have for roles of ours."""
_READ = frozenset({"role", "content", "tool_calls", "tool_call_id", *NAMES})
_BESIDE = {
    *("id", "type", "object", "name", "index", "created", "timestamp", "model", "usage", "metrics", "status"),
    *(
        "stop_reason",
        "stop_sequence",
        "finish_reason",
        "logprobs",
        "tags",
        "train",
        "weight",
        "cache_control",
    ),
    *("extra", "provider_specific_fields"),
    *("agent", "message_type", "action", "tool_call_ids", "is_demo"),
}
"""Fields that say something about a message and are no part of what was said in it. The last are SWE-agent's:
`action` is its reading of the text."""
_MOST_NAMES, _LONGEST_NAME = 40, 60


class Reason(StrEnum):
    """Why a document was not taken."""

    UNREADABLE = "unreadable"
    """It is not JSON, or torn."""
    WRONG_SHAPE = "wrong_shape"
    """It is JSON, but not of this format."""
    UNKNOWN_ROLE = "unknown_role"
    """A message has a role that is none of the four."""
    UNPAIRED = "unpaired"
    """A tool answers a call that was not made, or a call was left without its answer."""
    NO_ANSWER = "no_answer"
    """No assistant speaks in it."""
    DEMONSTRATION = "demonstration"
    """It holds turns of a demonstration, which the model did not write."""
    NOT_THE_MODEL = "not_the_model"
    """An agent's step was not written by a model, or by another agent."""
    UNKNOWN_END = "unknown_end"
    """Its format does not tell whether it was handed in, and nobody said so."""
    REPEATED = "repeated"
    """The same trajectory came before."""


class Refusal(Exception):
    """This document is not taken. For readers to raise; it never leaves `imports`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Trajectory(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout of another project. None: its format does not tell."""

    name: str = ""
    """What its project calls the task, e.g. an instance id; empty: nothing."""
    messages: tuple[Message, ...]
    end: End | None = None
    patch: str | None = None
    target: str | None = None
    """The patch of the task's T1, where this is a T2."""
    stage: Stage | None = None
    tools: list[Json] | None = None
    """Definitions in the chat-completions form."""
    model: str = ""
    issue: str = ""
    """The text of the task alone, where it stands by itself."""
    function: str = ""
    path: str = ""
    repository: str = ""
    commit: str = ""
    lost: Counter[str] = msgspec.field(default_factory=Counter)
    """What it holds and a conversation of ours has no place for: name → times."""


class _Function(msgspec.Struct, frozen=True):
    name: str
    arguments: str | Json | None = None


class _Call(msgspec.Struct, frozen=True):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct, frozen=True):
    """The shape that a message must have; what is read from it is `chat_wire`'s affair."""

    role: str
    content: str | list[Json] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class Document(msgspec.Struct, frozen=True):
    """One place in a file where a trajectory should be."""

    file: str
    """Its name; in a folder, its path from there."""
    line: int
    """From 1; 0 if the file holds one document."""
    read: Callable[[], Trajectory]
    """Parses it. Raises `Refusal`, or msgspec's errors if the shape is another."""


def as_message(wire: Json, lost: Counter[str]) -> Message:
    """One message of the chat-completions form, or of an agent that keeps close to it. What it holds and a
    message of ours has no place for is counted in `lost`.

    Raises `Refusal`, or `msgspec.ValidationError` if it has another shape.
    """
    shape = msgspec.convert(wire, _Message)
    role = _ROLES.get(shape.role, shape.role)
    if role not in ("system", "user", "assistant", "tool"):
        raise Refusal(Reason.UNKNOWN_ROLE, f"a message has the role {role!r}")
    content: str | list[Json] | None = shape.content
    if isinstance(content, list):
        content = list(_shown(content, role, lost))
    if wire.get("function_call"):
        raise Refusal(Reason.WRONG_SHAPE, "a message calls in the older form, as `function_call`")
    lose(lost, (f"field {name}" for name, value in wire.items() if value and name not in _READ | _BESIDE))
    calls = [_without_nulls(call, lost) for call in wire.get("tool_calls") or ()]
    message = decode_message({**wire, "role": role, "tool_calls": calls})
    text = plain_text(content)
    if role != "assistant":
        return msgspec.structs.replace(message, content=text, reasoning="")
    thought, spoken = parted(text)
    checked = [
        msgspec.structs.replace(call, malformed=arguments_of(call) is None) for call in message.tool_calls
    ]
    return msgspec.structs.replace(
        message,
        content=spoken,
        reasoning=together([reasoning_of(wire, lost), thought]),
        tool_calls=tuple(checked),
    )


def _shown(parts: Iterable[Json], role: str, lost: Counter[str]) -> Iterator[Json]:
    """The parts of a content as text, each that is none counted: by its name in brackets, but for those of an
    assistant, which would learn to say that name. Thoughts are read elsewhere."""
    for part in parts:
        if is_thought(part):
            continue
        if isinstance(part.get("text"), str):
            yield part
        else:
            kind = str(part.get("type") or "part without a type")[:_LONGEST_NAME]
            lose(lost, [kind])
            if role != "assistant":
                yield {"text": f"[{'image' if 'image' in kind else kind}]"}


def _without_nulls(call: Json, lost: Counter[str]) -> Json:
    """The call without the nulls of its arguments, where they are an object: a table library gives each
    call the parameters of all others, and leaving one out means the same. A text is the model's own."""
    function = call["function"]
    given = function.get("arguments")
    if not isinstance(given, dict) or None not in given.values():
        return call
    kept = {name: value for name, value in given.items() if value is not None}
    lost["null argument"] += len(given) - len(kept)
    return {**call, "function": {**function, "arguments": kept}}


def lose(lost: Counter[str], names: Iterable[str]) -> None:
    """Count what is left out. The names are a stranger's: so many, and so long, and not more."""
    for name in names:
        short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
        lost[short if short in lost or len(lost) < _MOST_NAMES else "others"] += 1


def paired(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with every tool answer naming its call; where a format names none, by their order. Answers
    to calls that were made at once stand in the order of the calls: in a text nothing else tells them apart.

    Raises `Refusal` if an answer has no call, or a call no answer before the conversation goes on.
    """
    open_calls: list[str] = []
    order: dict[str, int] = {}
    answers: list[Message] = []
    result: list[Message] = []

    def place(answer: Message) -> int:
        return order[answer.tool_call_id]

    for message in messages:
        if message.role == "tool":
            identity = message.tool_call_id or (open_calls[0] if open_calls else "")
            if identity not in open_calls:
                raise Refusal(Reason.UNPAIRED, f"a tool answers the call {identity!r}, which was not made")
            open_calls.remove(identity)
            answers.append(msgspec.structs.replace(message, tool_call_id=identity))
            continue
        if open_calls:
            raise Refusal(Reason.UNPAIRED, f"the call {open_calls[0]!r} was left without an answer")
        result += sorted(answers, key=place)
        answers = []
        open_calls += [call.id for call in message.tool_calls]
        order = {call.id: number for number, call in enumerate(message.tool_calls)}
        result.append(message)
    return (*result, *sorted(answers, key=place))


def answered(messages: Iterable[Message], lost: Counter[str]) -> list[Message]:
    """The messages as an agent goes on with them after a call that was never carried out, since no server
    takes such a history: without the call, and without the answer if none of its calls was. Calls at the end
    stay. For formats of which the agent is known to do that."""
    result: list[Message] = []
    place, owed = 0, list[str]()
    for message in messages:
        if message.role == "tool":
            owed = [identity for identity in owed if identity != message.tool_call_id]
        else:
            if owed:
                lost["unanswered call"] += len(owed)
                calls = tuple(call for call in result[place].tool_calls if call.id not in owed)
                kept = [msgspec.structs.replace(result[place], tool_calls=calls)] if calls else []
                result[place : place + 1] = kept
            place, owed = len(result), [call.id for call in message.tool_calls]
        result.append(message)
    return result


def json_document(data: bytes, kind: type[Any]) -> Any:
    """A file's one JSON document as a struct of the reader's."""
    try:
        return decode(data, kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as problem:
        raise Refusal(Reason.UNREADABLE, str(problem)) from problem
