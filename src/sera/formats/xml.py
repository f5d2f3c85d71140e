"""Calls as tags, one for each parameter: the dialect of Qwen3-Coder.

    <function=bash>
    <parameter=command>
    ls -l
    </parameter>
    </function>

Text stands as it is; any other value is JSON. Only the tool's schema can tell `5` from `"5"`, so a value
whose type is not the schema's does not read back, and its turn is not trained.
"""

import json
import re
from typing import Any

import msgspec

from sera.formats.contract import arguments_of
from sera.formats.servers import XML, Tools, properties
from sera.records import ToolCall
from sera.untrusted import decode

_BEFORE = "You can call these tools. Each function element between the tags defines one:"
_AFTER = (
    "To call a tool, write its name and each parameter between tags, a value on lines of its own:\n"
    "<tool_call>\n<function=name_of_the_tool>\n<parameter=name_of_the_parameter>\nvalue\n</parameter>\n"
    "</function>\n</tool_call>"
)

_FUNCTION = re.compile(r"<function>\n(.*?)\n</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter>\n<name>(.*?)</name>(.*?)</parameter>", re.DOTALL)
_TYPE = re.compile(r"<type>(.*?)</type>")


class Xml:
    parsers = XML

    def describe(self, tools: Tools) -> str:
        lines = "\n".join(_definition(tool) for tool in tools)
        return f"# Tools\n\n{_BEFORE}\n<tools>\n{lines}\n</tools>\n\n{_AFTER}"

    def defined(self, prompt: str) -> Tools:
        _, found, text = prompt.rpartition(f"{_BEFORE}\n<tools>\n")
        return [_tool(body) for body in _FUNCTION.findall(text.partition("\n</tools>")[0])] if found else []

    def write(self, call: ToolCall) -> str:
        arguments = arguments_of(call)
        if arguments is None:
            return f"<function={call.name}>\n{call.arguments}\n</function>"
        parts = (f"<parameter={key}>\n{_value(value)}\n</parameter>\n" for key, value in arguments.items())
        return f"<function={call.name}>\n{''.join(parts)}</function>"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _definition(tool: dict[str, Any]) -> str:
    """One tool as elements; what a schema holds beyond text is JSON inside its element."""
    function = tool.get("function")
    function = function if isinstance(function, dict) else {}
    parameters = [
        f"<parameter>\n{_elements({'name': name, **schema})}\n</parameter>"
        for name, schema in properties(tool).items()
    ]
    declared = function.get("parameters")
    required = declared.get("required", []) if isinstance(declared, dict) else []
    head = _elements({key: value for key, value in function.items() if key != "parameters"})
    body = "\n".join([*parameters, _elements({"required": required})])
    return f"<function>\n{head}\n<parameters>\n{body}\n</parameters>\n</function>"


def _tool(text: str) -> dict[str, Any]:
    """Names and types of one tool, read back."""
    properties = {name: _kind(schema) for name, schema in _PARAMETER.findall(text)}
    name = text.partition("<name>")[2].partition("</name>")[0]
    return {"type": "function", "function": {"name": name, "parameters": {"properties": properties}}}


def _kind(schema: str) -> dict[str, Any]:
    found = _TYPE.search(schema)
    if not found:
        return {}
    try:
        return {"type": decode(found[1]) if found[1].startswith("[") else found[1]}
    except msgspec.DecodeError:  # a description that speaks of such an element
        return {"type": found[1]}


def _elements(values: dict[str, Any]) -> str:
    return "\n".join(f"<{key}>{_value(value)}</{key}>" for key, value in values.items())
