"""What OpenHands writes: rows of its evaluation, its saved trajectories, and the events of its newer SDK.

    output.jsonl      {"instance_id": …, "history": [events], "test_result": {"git_patch": …}, "metadata": …}
    a line trajectory.json   [events], or one event a line

An event of the agent (`action`) names the answer of the model that it came from (`tool_call_metadata`), which
is taken as it was; several events of one answer are one message. Where the answer was not kept, the event's
own name and arguments are the call. Observations answer by the call's id, else by `cause`. In the SDK's
events (`kind`) calls and answers name each other. Older histories are pairs of an action and its observation.

It was handed in if the agent finished. Events that no model reads (states of the agent, statistics) are left
out; those that change what it reads (a condensation, what was recalled) are counted, and so are commands that
the user ran.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.blocks import Wire, prompt_of, read_message
from sera.datasets.exchange.definitions import told_tools
from sera.datasets.exchange.lines import MOST, first_values, json_lines, whole
from sera.datasets.exchange.thoughts import plain_text
from sera.datasets.exchange.trajectory import (
    Document,
    Json,
    Reason,
    Refusal,
    Trajectory,
    answered,
    as_message,
    json_document,
    lose,
)
from sera.formats.servers import Tools
from sera.records import End, Message

_SILENT = frozenset({"agent_state_changed", "change_agent_state", "null", "loop_detection"})
"""Events that are no part of what the model reads."""
_SILENT_KINDS = frozenset(
    {"ConversationStateUpdateEvent", "PauseEvent", "LLMCompletionLogEvent", "TokenEvent"}
)
_KINDS = ("SystemPromptEvent", "MessageEvent", "ActionEvent", "ObservationEvent")
_ANSWERS = ("ObservationEvent", "UserRejectObservation", "AgentErrorEvent")
_SETTINGS = frozenset(
    [
        "thought",
        "blocking",
        "hidden",
        "confirmation_state",
        "security_risk",
        "translated_ipython_code",
        "impl_source",
        "keep_prompt",
        "wait_for_response",
        "is_static",
        "image_urls",
        "file_urls",
    ]
)
"""Arguments of an event that are OpenHands' own and no model's."""


class _Row(msgspec.Struct, frozen=True):
    history: list[Any]
    instance_id: str | int | None = None
    test_result: Any = None
    metadata: Any = None
    instance: Any = None
    error: Any = None
    git_patch: str | None = None
    model_patch: str | None = None


class _Event(msgspec.Struct, frozen=True):
    id: int | str | None = None
    source: str | None = None
    action: str | Json | None = None
    observation: str | Json | None = None
    args: Json | None = None
    content: str | list[Json] | None = None
    cause: int | str | None = None
    tool_call_metadata: Json | None = None
    kind: str = ""
    """Set in events of the SDK, which have the fields that follow."""
    llm_message: Json | None = None
    system_prompt: Json | str | None = None
    tools: list[Json] | None = None
    thought: list[Json] | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[Json] | None = None
    tool_name: str | None = None
    tool_call: Json | None = None
    tool_call_id: str | None = None
    action_id: str | None = None
    llm_response_id: str | None = None
    error: str | None = None
    rejection_reason: str | None = None


def looks_openhands(found: Any) -> bool:
    """Whether a row, a list or a line is of OpenHands' events."""
    if isinstance(found, dict) and isinstance(found.get("history"), list):
        found = found["history"]
    if isinstance(found, list):
        return any(_is_event(event) for event in islice(_flat(found), 5))
    return _is_event(found)


def _is_event(found: Any) -> bool:
    if not isinstance(found, dict):
        return False
    acts = "source" in found or "cause" in found
    return found.get("kind") in _KINDS or (
        acts and any(isinstance(found.get(name), str) for name in ("action", "observation"))
    )


def read_openhands(file: Path, name: str, _tools: Tools) -> Iterator[Document]:
    if any(isinstance(one, dict) and isinstance(one.get("history"), list) for one in first_values(file)):
        yield from json_lines(file, name, _Row, _of_row)
    else:
        stem = file.name.removesuffix(".jsonl").removesuffix(".json")
        yield Document(name, 0, partial(_of_events, stem, whole(file)))


def _of_events(stem: str, data: bytes | None) -> Trajectory:
    """A file that is one trajectory: a list of events, or an event a line."""
    if data is None:
        raise Refusal(Reason.UNREADABLE, f"it has more than {MOST:,} bytes")
    if data.lstrip().startswith(b"["):
        return _trajectory(stem, json_document(data, list[Any]))
    return _trajectory(stem, list(_line_by_line(data)))


def _line_by_line(data: bytes) -> Iterator[Any]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                yield json_document(line, Any)
            except Refusal as problem:
                raise Refusal(problem.reason, f"line {number}: {problem.detail}") from problem


def _of_row(row: Any) -> Trajectory:
    result, about, meta = (
        part if isinstance(part, dict) else {} for part in (row.test_result, row.instance, row.metadata)
    )
    patch = result.get("git_patch", row.model_patch if row.git_patch is None else row.git_patch)
    config = meta.get("llm_config") or meta.get("llm")
    model = config.get("model") if isinstance(config, dict) else None
    found = _trajectory("" if row.instance_id is None else str(row.instance_id), row.history)
    end = End.FAILED if found.end is None and row.error else found.end
    return msgspec.structs.replace(
        found,
        end=end,
        patch=patch if isinstance(patch, str) else None,
        model=found.model or _text(model),
        repository=_text(about.get("repo")),
        commit=_text(about.get("base_commit")),
        issue=_text(about.get("problem_statement")),
    )


def _trajectory(name: str, history: Sequence[Any]) -> Trajectory:
    events = list(_events(history))
    if not any(event.kind or event.action or event.observation for event in events):
        raise msgspec.ValidationError("there is no event of OpenHands in it")
    lost: Counter[str] = Counter()
    reader = _Reader(lost)
    for event in events:
        reader.read(event)
    return Trajectory(
        name=name,
        messages=tuple(answered(reader.messages, lost)),
        end=End.SUBMITTED if reader.finished else None,
        tools=told_tools(reader.tools),
        model=reader.model,
        lost=lost,
    )


def _events(history: Sequence[Any]) -> Iterator[_Event]:
    for number, event in enumerate(_flat(history)):
        try:
            yield msgspec.convert(event, _Event)
        except msgspec.ValidationError as problem:
            raise msgspec.ValidationError(f"event {number}: {problem}") from problem


def _flat(history: Sequence[Any]) -> Iterator[Any]:
    """Events from a list of them, or of pairs."""
    for entry in history:
        yield from entry if isinstance(entry, list) else [entry]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class _Reader:
    """Reads one event after the other."""

    def __init__(self, lost: Counter[str]) -> None:
        self.messages: list[Message] = []
        self.finished = False
        self.tools: list[Json] | None = None
        self.model = ""
        self._lost = lost
        self._said: dict[str, int] = {}
        """Id of an answer of the model → its place among the messages."""
        self._calls: dict[str, str] = {}
        """Id of an event → id of the call that it carries out."""

    def read(self, event: _Event) -> None:
        """Take in one event."""
        if event.kind:
            self.messages += self._of_the_sdk(event)
        elif isinstance(event.action, str):
            self.messages += self._action(event, event.action)
        elif isinstance(event.observation, str):
            self.messages += self._observation(event, event.observation)

    def _action(self, event: _Event, action: str) -> Iterator[Message]:
        args = event.args or {}
        if action in _SILENT:
            return
        if action == "system":
            self.tools = self.tools or _definitions(args.get("tools"))
            yield Message(role="system", content=_text(args.get("content")))
        elif event.source != "agent":
            if action != "message":
                lose(self._lost, [f"{action} of the {event.source or 'environment'}"])
                return
            images = args.get("image_urls")
            shown = ["image"] * len(images if isinstance(images, list) else ())
            lose(self._lost, shown)
            text = "\n".join([_text(args.get("content")), *(f"[{one}]" for one in shown)])
            yield Message(role="user", content=text)
        elif action in ("condensation", "recall", "condensation_request"):
            lose(self._lost, [action])
        else:
            self.finished = self.finished or action == "finish"
            yield from self._answer(event, action, args)

    def _answer(self, event: _Event, action: str, args: Json) -> Iterator[Message]:
        meta = event.tool_call_metadata or {}
        response = meta.get("model_response")
        wire = _message_of(response)
        if isinstance(response, dict) and wire is not None:
            self._calls[str(event.id)] = _text(meta.get("tool_call_id"))
            self.model = self.model or _text(response.get("model"))
            identity = _text(response.get("id")) or f"event {event.id}"
            if identity not in self._said:
                self._said[identity] = len(self.messages)
                yield as_message(wire, self._lost)
            return
        if action == "message":
            yield as_message({"role": "assistant", "content": _text(args.get("content"))}, self._lost)
            return
        identity = _text(meta.get("tool_call_id")) or f"event_{event.id}"
        self._calls[str(event.id)] = identity
        thought = _text(args.get("thought"))
        given = {name: value for name, value in args.items() if name not in _SETTINGS and value is not None}
        if action == "think":
            given, thought = {"thought": thought}, ""
        named = _text(meta.get("function_name")) or action
        function = {"name": named, "arguments": json.dumps(given, ensure_ascii=False)}
        call = {"id": identity, "function": function}
        yield as_message({"role": "assistant", "content": thought, "tool_calls": [call]}, self._lost)

    def _observation(self, event: _Event, kind: str) -> Iterator[Message]:
        answered = _text((event.tool_call_metadata or {}).get("tool_call_id"))
        answered = answered or self._calls.get(str(event.cause), "")
        if kind in _SILENT and not answered:
            return
        if not answered:
            lose(self._lost, [f"observation {kind}"])
            return
        yield as_message({"role": "tool", "content": event.content, "tool_call_id": answered}, self._lost)

    def _of_the_sdk(self, event: _Event) -> Iterator[Message]:
        if event.kind == "SystemPromptEvent":
            prompt = event.system_prompt
            self.tools = self.tools or event.tools
            yield Message(role="system", content=prompt_of([prompt] if isinstance(prompt, dict) else prompt))
        elif event.kind == "MessageEvent" and event.llm_message:
            role = "assistant" if event.source == "agent" else "user"
            yield from self._message(event, msgspec.convert({"role": role, **event.llm_message}, Wire))
        elif event.kind == "ActionEvent" and (event.tool_call or isinstance(event.action, dict)):
            yield from self._call(event, event.tool_call or {})
        elif event.kind in _ANSWERS and (answered := self._answered(event)):
            yield self._result(event, answered)
        elif event.kind not in _SILENT_KINDS:
            lose(self._lost, [event.kind])

    def _message(self, event: _Event, said: Wire) -> Iterator[Message]:
        for message in read_message(said, self._lost):
            thought = event.reasoning_content or ""
            if message.role == "assistant" and thought and not message.reasoning:
                message = msgspec.structs.replace(message, reasoning=thought)
            yield message

    def _answered(self, event: _Event) -> str:
        """The id of the call that an event answers."""
        return event.tool_call_id or self._calls.get(event.action_id or "", "")

    def _call(self, event: _Event, call: Json) -> Iterator[Message]:
        """Events of one answer follow each other; the first has what was said, and each its call. Where the
        call was not kept, the tool's name and the action are it."""
        self.finished = self.finished or event.tool_name == "finish"
        wire: Json = {"role": "assistant", "content": plain_text(event.thought)}
        wire |= {"reasoning_content": event.reasoning_content, "thinking_blocks": event.thinking_blocks}
        action = event.action if isinstance(event.action, dict) else {}
        given = {name: value for name, value in action.items() if name != "kind" and value is not None}
        written = call.get("arguments") or json.dumps(given, ensure_ascii=False)
        name = call.get("name") or event.tool_name or action.get("kind")
        identity = call.get("id") or event.tool_call_id or f"event_{event.id}"
        self._calls[str(event.id)] = identity if isinstance(identity, str) else ""
        function = call.get("function") or {"name": name, "arguments": written}
        wire["tool_calls"] = [{"id": identity, "function": function}]
        message = as_message(wire, self._lost)
        place = self._said.get(event.llm_response_id or "")
        if place is None:
            self._said[event.llm_response_id or f"event {event.id}"] = len(self.messages)
            yield message
        else:
            calls = (*self.messages[place].tool_calls, *message.tool_calls)
            self.messages[place] = msgspec.structs.replace(self.messages[place], tool_calls=calls)

    def _result(self, event: _Event, identity: str) -> Message:
        found = event.observation if isinstance(event.observation, dict) else {}
        content = found.get("content", found.get("output"))
        text = content if isinstance(content, str) else prompt_of(content) if content else ""
        text = text or event.error or event.rejection_reason or ""
        return Message(role="tool", content=text, tool_call_id=identity)


def _message_of(response: object) -> Json | None:
    """The message of an answer that was kept whole, as LiteLLM has it."""
    choices = response.get("choices") if isinstance(response, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return {"role": "assistant", **message} if isinstance(message, dict) else None


def _definitions(tools: object) -> list[Json] | None:
    return tools if isinstance(tools, list) else None
