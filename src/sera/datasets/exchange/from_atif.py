"""ATIF, the agent trajectory interchange format of Harbor and Terminal-Bench, versions 1.x.

One JSON document with `schema_version`, `agent` and `steps`. A step of a system or a user is a message;
one of an agent is an answer with its calls and, in `observation`, what followed: results that name a call
are tool messages, and others a user message, which is how agents of text are answered. The format has no
patch, and no end. Steps that no model wrote, that another agent wrote, or that were copied from another
trajectory are refused: to train on them would be to train on what this model never said.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.definitions import told_tools
from sera.datasets.exchange.lines import one_document
from sera.datasets.exchange.trajectory import Document, Json, Reason, Refusal, Trajectory, as_message
from sera.formats.servers import Tools
from sera.records import Message


class _Agent(msgspec.Struct, frozen=True):
    name: str
    model_name: str | None = None
    tool_definitions: list[Json] | None = None


class _Call(msgspec.Struct, frozen=True):
    tool_call_id: str
    function_name: str
    arguments: msgspec.Raw


class _Result(msgspec.Struct, frozen=True):
    source_call_id: str | None = None
    content: str | list[Json] | None = None
    subagent_trajectory_ref: list[Json] | None = None


class _Observation(msgspec.Struct, frozen=True):
    results: list[_Result]


class _Step(msgspec.Struct, frozen=True):
    source: str
    message: str | list[Json]
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    observation: _Observation | None = None
    is_copied_context: bool | None = None
    llm_call_count: int | None = None


class _Atif(msgspec.Struct, frozen=True):
    schema_version: str
    agent: _Agent
    steps: list[_Step]
    session_id: str | None = None


def read_atif(file: Path, name: str, _tools: Tools) -> Iterator[Document]:
    yield from one_document(file, name, _Atif, partial(_trajectory, file.name.removesuffix(".json")))


def _trajectory(file_name: str, atif: Any) -> Trajectory:
    if not atif.schema_version.startswith("ATIF-v1."):
        raise msgspec.ValidationError(f"the schema version {atif.schema_version!r} is not known")
    lost: Counter[str] = Counter()
    return Trajectory(
        name=atif.session_id or file_name,
        messages=tuple(message for step in atif.steps for message in _messages(step, lost)),
        tools=told_tools(atif.agent.tool_definitions),
        lost=lost,
        model=atif.agent.model_name or "",
    )


def looks_atif(found: Any) -> bool:
    """Whether a document is of this format."""
    return isinstance(found, dict) and str(found.get("schema_version")).startswith("ATIF-")


def _messages(step: _Step, lost: Counter[str]) -> Iterator[Message]:
    if step.is_copied_context or step.llm_call_count == 0:
        raise Refusal(Reason.NOT_THE_MODEL, "a step was not written by the model, or copied from elsewhere")
    role = "assistant" if step.source == "agent" else step.source
    calls = [_call(call) for call in step.tool_calls or ()]
    yield as_message(
        {
            "role": role,
            "content": step.message,
            "reasoning_content": step.reasoning_content,
            "tool_calls": calls,
        },
        lost,
    )
    for result in step.observation.results if step.observation else ():
        yield _answer(result, bool(calls), lost)


def _call(call: _Call) -> Json:
    """The arguments keep their spelling: they are the document's own text."""
    arguments = bytes(call.arguments).decode()
    return {"id": call.tool_call_id, "function": {"name": call.function_name, "arguments": arguments}}


def _answer(result: _Result, called: bool, lost: Counter[str]) -> Message:
    if result.subagent_trajectory_ref:
        raise Refusal(Reason.NOT_THE_MODEL, "a step was handed to another agent, whose work is elsewhere")
    role = "tool" if result.source_call_id or called else "user"
    return as_message(
        {"role": role, "content": result.content or "", "tool_call_id": result.source_call_id or ""},
        lost,
    )
