"""What a parser of tool calls is."""

import json
from collections.abc import Callable, Sequence
from typing import Any

Tools = Sequence[dict[str, Any]]
"""Tool definitions in the chat-completions form."""
Call = tuple[str, Any]
"""Name and arguments; the arguments are an object unless the text is wrong in a way a server lets pass."""
Parser = Callable[[str, Tools], list[Call]]
"""All calls in a text without reasoning; raises `CannotRead` where the server hands the text out unread."""

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class CannotRead(ValueError):
    """The server finds the mark of a call and no call that it can read."""


def nulls(call: Call, tools: Tools) -> list[str]:
    """The parameters that a call sets to null although its tool does not allow it."""
    name, arguments = call
    known = next((properties(tool) for tool in tools if name_of(tool) == name), {})
    allowed = {key for key, schema in known.items() if "null" in json.dumps(schema.get("type", schema))}
    return [key for key, value in arguments.items() if value is None and key not in allowed]


def name_of(tool: dict[str, Any]) -> str:
    """The name in a definition; empty if it has none."""
    return str(_part(tool, "function").get("name") or "")


def properties(tool: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The schemas of a tool's parameters, by name; what is none in a stranger's definition allows all."""
    found = _part(_part(_part(tool, "function"), "parameters"), "properties")
    return {str(key): schema if isinstance(schema, dict) else {} for key, schema in found.items()}


def _part(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
