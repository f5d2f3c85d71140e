"""Calls as JSON: `{"name": …, "arguments": …}`. The dialect of Hermes and of Qwen3.

The arguments are the text the model wrote, space for space. One thing is changed: a closing tag inside
a string is written `<\\/tool_call>`, which is the same JSON, so that no parser ends the call there.
"""

import json

import msgspec

from sera.datasets.formats.contract import Arguments, Call, Tools
from sera.records import ToolCall

_BEFORE = "You can call these tools. Each line between the tags is the JSON definition of one:"
_AFTER = (
    "To call a tool, write a JSON object with its name and its arguments between two tags of their own:\n"
    '<tool_call>\n{"name": <name of the tool>, "arguments": <object with the arguments>}\n</tool_call>'
)


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: Arguments


class Hermes:
    def describe(self, tools: Tools) -> str:
        lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        return f"# Tools\n\n{_BEFORE}\n<tools>\n{lines}\n</tools>\n\n{_AFTER}"

    def write(self, call: ToolCall) -> str:
        name = json.dumps(call.name, ensure_ascii=False)
        arguments = call.arguments.replace("</tool_call>", "<\\/tool_call>")
        return f'{{"name": {name}, "arguments": {arguments}}}'

    def read(self, body: str, tools: Tools) -> Call | None:  # noqa: ARG002 - JSON needs no schema
        try:
            written = msgspec.json.decode(body, type=_Written)
        except msgspec.DecodeError:
            return None
        return written.name, written.arguments
