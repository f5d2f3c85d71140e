"""Calls as JSON: `{"name": …, "arguments": …}`. The dialect of Hermes and of Qwen3.

A closing tag inside a string is written `<\\/tool_call>`, which is the same JSON, so that no parser ends
the call there.
"""

import json

from sera.formats.servers import HERMES, Tools
from sera.records import ToolCall

_BEFORE = "You can call these tools. Each line between the tags is the JSON definition of one:"
_AFTER = (
    "To call a tool, write a JSON object with its name and its arguments between two tags of their own:\n"
    '<tool_call>\n{"name": <name of the tool>, "arguments": <object with the arguments>}\n</tool_call>'
)


class Hermes:
    parsers = HERMES

    def describe(self, tools: Tools) -> str:
        lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        return f"# Tools\n\n{_BEFORE}\n<tools>\n{lines}\n</tools>\n\n{_AFTER}"

    def defined(self, prompt: str) -> Tools:
        _, described, lines = prompt.rpartition(f"{_BEFORE}\n<tools>\n")
        if not described:
            return []
        return [json.loads(line) for line in lines.partition("\n</tools>")[0].split("\n") if line]

    def write(self, call: ToolCall) -> str:
        name = json.dumps(call.name, ensure_ascii=False)
        arguments = call.arguments.replace("</tool_call>", "<\\/tool_call>")
        return f'{{"name": {name}, "arguments": {arguments}}}'
