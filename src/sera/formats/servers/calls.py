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
    schemas = [tool["function"].get("parameters") or {} for tool in tools if tool["function"]["name"] == name]
    properties = schemas[0].get("properties", {}) if schemas else {}
    allowed = {key for key, schema in properties.items() if "null" in json.dumps(schema.get("type", schema))}
    return [key for key, value in arguments.items() if value is None and key not in allowed]
