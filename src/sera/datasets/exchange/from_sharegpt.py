"""Conversations in the form of ShareGPT, one JSON object a line, or one JSON list.

    {"conversations": [{"from": "human", "value": …}, …], "system": …, "tools": …}

Turns may also have `role` and `content`. Calls stand in the text of a turn (`<tool_call>`, or a bare
`<function=…>`), or are a turn of their own (`function_call`, whose value is JSON), which joins the answer
before it; answers are turns of `tool` or `observation`. Tools may be told in a field, as a list or its JSON
text, or in the system prompt. The form has no end and no patch; `id` and what `openai` reads beside it is
taken.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.beside import Beside
from sera.datasets.exchange.definitions import defined_in, told_tools
from sera.datasets.exchange.lines import json_lines
from sera.datasets.exchange.text_turns import read_turns
from sera.datasets.exchange.trajectory import Document, Json, Reason, Refusal, Trajectory
from sera.formats.servers import Tools
from sera.untrusted import decode

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "tool_response": "tool",
    "observation": "tool",
    "function_response": "tool",
    "function_call": "call",
    "tool_call": "call",
}


class _Line(Beside, frozen=True, kw_only=True):
    conversations: list[Json] | None = None
    conversation: list[Json] | None = None
    system: str | None = None
    tools: list[Json] | str | None = None
    functions: list[Json] | str | None = None
    """The older name."""


def read_sharegpt(file: Path, name: str, tools: Tools) -> Iterator[Document]:
    yield from json_lines(file, name, _Line, partial(_trajectory, tools))


def looks_sharegpt(found: Any) -> bool:
    """Whether a line is of this format."""
    return isinstance(found, dict) and any(
        isinstance(found.get(name), list) for name in ("conversations", "conversation")
    )


def _trajectory(known: Tools, line: Any) -> Trajectory:
    turns = line.conversations if line.conversations is not None else line.conversation
    if turns is None:
        raise Refusal(Reason.WRONG_SHAPE, "it has no `conversations`")
    wires = list(_wires(turns))
    if line.system:
        wires = [{"role": "system", "content": line.system}, *wires]
    tools = told_tools(line.tools or line.functions)
    if wires and wires[0]["role"] == "system":
        in_prompt, rest = defined_in(wires[0]["content"])
        tools, wires[0]["content"] = tools or in_prompt, rest
    lost: Counter[str] = Counter()
    return Trajectory(
        messages=tuple(read_turns(wires, known or tools or (), lost)), tools=tools, lost=lost, **line.told()
    )


def _wires(turns: Sequence[Json]) -> Iterator[Json]:
    """Turns in the chat-completions form. A turn that is nothing but calls joins the answer before it."""
    held: Json = {}
    made = 0
    for turn in turns:
        wire = _wire(turn)
        if wire["role"] == "call":
            calls = [_call(one, made + n) for n, one in enumerate(_calls(wire["content"]))]
            made += len(calls)
            if held.get("role") == "assistant":
                held["tool_calls"] = [*held.get("tool_calls", ()), *calls]
                continue
            wire = {"role": "assistant", "content": "", "tool_calls": calls}
        if held:
            yield held
        held = wire
    if held:
        yield held


def _wire(turn: Json) -> Json:
    said = turn.get("from", turn.get("role"))
    value = turn.get("value", turn.get("content"))
    role = _ROLES.get(said.lower()) if isinstance(said, str) else None
    if role is None:
        raise Refusal(Reason.UNKNOWN_ROLE, f"a turn is from {str(said)[:40]!r}")
    if not isinstance(value, str | None):
        raise Refusal(Reason.WRONG_SHAPE, f"a turn of {said} has a value that is no text")
    beside = {key: turn[key] for key in turn if key not in ("from", "role", "value", "content")}
    return {**beside, "role": role, "content": value or ""}


def _calls(text: str) -> list[Json]:
    """The calls that a turn of its own is: an object or a list of them."""
    try:
        found = decode(text)
    except msgspec.DecodeError as problem:
        raise Refusal(Reason.WRONG_SHAPE, f"a call is no JSON: {problem}") from problem
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in listed):
        raise Refusal(Reason.WRONG_SHAPE, "a call has no name")
    return listed


def _call(found: Json, number: int) -> Json:
    arguments = found.get("arguments", found.get("parameters"))
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments or {}, ensure_ascii=False)
    function = {"name": found["name"], "arguments": arguments}
    return {"id": f"call_{number}", "type": "function", "function": function}
