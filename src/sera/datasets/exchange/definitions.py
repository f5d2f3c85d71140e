"""Tool definitions of a trajectory: as its file tells them, as its system prompt tells them, or inferred.

Told ones come in four spellings: chat-completions (`{"type": "function", "function": {…}}`), the Responses
API and bare functions (`{"name", "parameters"}`), and Anthropic's (`{"name", "input_schema"}`). All become
the first.

A system prompt may define the tools in its text: ours (`hermes` and `xml`), that of Qwen and Hermes (JSON
within `<tools>`), and that of OpenHands and SWE-smith (`---- BEGIN FUNCTION`). Where the text is known to be
nothing but the definitions, and how to call them, it is taken out of the prompt, since a format of ours
writes it again in its own words; else it stays.

Where nobody tells them, they are inferred from the calls that were made: names, parameters, their types, and
which were always there. A null tells nothing: a table library may have filled calls up with them. That is
what a student needs to be read by a server, and it is not what the agent was told: the import says so.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from sera.datasets.exchange.spans import spans
from sera.datasets.exchange.trajectory import Json, Reason, Refusal
from sera.formats.contract import arguments_of
from sera.formats.hermes import Hermes
from sera.formats.servers import Tools
from sera.formats.xml import Xml
from sera.records import Message
from sera.untrusted import decode

_NAME = re.compile(r"[\w.:/-]{1,128}")
"""What a tool may be called; a model that calls another name has invented it."""
_MOST_TOOLS, _MOST_PARAMETERS = 128, 64
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_JSON = json.JSONDecoder()


# ── told ──────────────────────────────────────────────────────────────────────────────────────────


def told_tools(found: object) -> list[Json] | None:
    """Definitions in the chat-completions form, from a list, its JSON text, or nothing; None: there are none.

    Raises `Refusal` if one of them has no name, or parameters that are no schema.
    """
    if isinstance(found, str):
        try:
            found = decode(found) if found.strip() else None
        except msgspec.DecodeError as problem:
            raise Refusal(Reason.WRONG_SHAPE, f"its tools are no JSON: {problem}") from problem
    if not found:
        return None
    if not isinstance(found, list):
        found = [found]
    return [_told(one) for one in found]


def _told(tool: object) -> Json:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise Refusal(Reason.WRONG_SHAPE, f"a tool definition has no name: {str(tool)[:80]}")
    parameters = function.get("parameters", function.get("input_schema", function.get("inputSchema")))
    whole = _schema(parameters, function["name"])
    if isinstance(tool, dict) and function is not tool and whole is parameters:
        return tool
    kept = {key: function[key] for key in ("name", "description", "strict") if function.get(key) is not None}
    return {"type": "function", "function": {**kept, "parameters": whole}}


def _schema(parameters: object, name: str) -> Json:
    """The schema of a tool's parameters, the same object if nothing is to be mended."""
    if parameters is None:
        return {"type": "object", "properties": {}}
    properties = parameters.get("properties", {}) if isinstance(parameters, dict) else None
    if properties is None and isinstance(parameters, dict):
        return {**parameters, "properties": {}}
    if not isinstance(parameters, dict) or not isinstance(properties, dict):
        raise Refusal(Reason.WRONG_SHAPE, f"the parameters of the tool {name[:40]!r} are no schema")
    if not isinstance(parameters.get("required") or [], list):
        raise Refusal(Reason.WRONG_SHAPE, f"the tool {name[:40]!r} does not list what it requires")
    if all(isinstance(schema, dict) for schema in properties.values()):
        return parameters
    mended = {key: schema if isinstance(schema, dict) else {} for key, schema in properties.items()}
    return {**parameters, "properties": mended}


# ── in the system prompt ──────────────────────────────────────────────────────────────────────────

_BEGIN, _END = "---- BEGIN FUNCTION #", "---- END FUNCTION #"
_HEADLINE = "You have access to the following functions:"
_OPENING = re.compile(r"<(\w+)>")
_PARAMETER = re.compile(
    r"^ *\(\d+\) ([\w-]+) \((\w+), (required|optional)\):(.*?)(?=^ *\(\d+\) |\Z)", re.DOTALL | re.M
)


def defined_in(prompt: str) -> tuple[list[Json] | None, str]:
    """(the tools that a system prompt defines in its text, or None; what is left of the prompt)."""
    for found in (_ours, _listed, _tagged):
        tools, rest = found(prompt)
        if tools:
            return tools, rest
    return None, prompt


def _ours(prompt: str) -> tuple[list[Json] | None, str]:
    """Our own words, and only if they are, to the letter, what the format writes for these tools."""
    start = prompt.rfind("# Tools\n\n")
    section = prompt[start:]
    for dialect, read in ((Hermes(), _json_lines), (Xml(), _elements)):
        tools = list(read(section.partition("<tools>\n")[2].partition("\n</tools>")[0])) if start >= 0 else []
        if tools and dialect.describe(tools) == section:
            return tools, prompt[:start].removesuffix("\n\n")
    return None, prompt


def _json_lines(text: str) -> Iterator[Json]:
    for line in text.split("\n"):
        try:
            yield decode(line, Json)
        except msgspec.DecodeError:
            return


def _elements(text: str) -> Iterator[Json]:
    """The way back from the elements of `xml`; what it may read wrongly, the comparison finds."""
    for function in spans(text, "<function>\n", "\n</function>"):
        head, _, body = function.inside.partition("<parameters>\n")
        properties = {}
        for parameter in spans(body, "<parameter>\n", "\n</parameter>"):
            schema = _parts(parameter.inside)
            properties[str(schema.pop("name", ""))] = schema
        schema = {"type": "object", "properties": properties, **_parts(body[body.rfind("<required>") :])}
        yield {"type": "function", "function": {**_parts(head), "parameters": schema}}


def _parts(text: str) -> Json:
    """`<key>value</key>` on lines of their own, as an object."""
    found: Json = {}
    place = 0
    while opening := _OPENING.match(text, place):
        end = text.find(f"</{opening[1]}>", opening.end())
        if end < 0:
            break
        found[opening[1]] = _value(text[opening.end() : end])
        place = end + len(opening[1]) + 4
    return found


def _value(text: str) -> Any:
    if text[:1] not in ("[", "{") and text not in ("true", "false", "null") and not text[:1].isdigit():
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _tagged(prompt: str) -> tuple[list[Json] | None, str]:
    """JSON within `<tools>`: one definition after the other, or a list of them. The last such place
    counts."""
    end = prompt.rfind("</tools>")
    start = prompt.rfind("<tools>", 0, max(end, 0))
    if start < 0:
        return None, prompt
    try:
        tools = told_tools(list(_values(prompt[start + len("<tools>") : end])))
    except Refusal:
        return None, prompt
    return tools, _without(prompt, start, end + len("</tools>")) if tools else prompt


def _values(text: str) -> Iterator[object]:
    place = 0
    while (place := len(text) - len(text[place:].lstrip(" \t\r\n,"))) < len(text):
        try:
            value, place = _JSON.raw_decode(text, place)
        except (ValueError, RecursionError):
            return
        yield from value if isinstance(value, list) else [value]


def _without(prompt: str, start: int, end: int) -> str:
    """The prompt without its section on tools, if a heading says where that begins: it ends with the last
    paragraph that speaks of the tags of a call."""
    heading = prompt.rfind("# Tools", 0, start)
    if heading < 0 or (heading and prompt[heading - 1] != "\n"):
        return prompt
    after = prompt[end:]
    last = max(after.rfind("</tool_call>"), after.rfind("<tool_call>"))
    stop = after.find("\n\n", last) if last >= 0 else 0
    return prompt[:heading].rstrip("\n") + (after[stop:] if stop >= 0 else "")


def _listed(prompt: str) -> tuple[list[Json] | None, str]:
    """The words of OpenHands, which SWE-smith has too, up to the end of what they say about calls."""
    found = list(islice(spans(prompt, _BEGIN, _END), _MOST_TOOLS))
    tools = [_described(one.inside) for one in found]
    if not tools:
        return None, prompt
    start = prompt.rfind(_HEADLINE, 0, found[0].start)
    closing = prompt.find("</IMPORTANT>", found[-1].stop)
    if start < 0 or closing < 0:
        return tools, prompt
    return tools, (prompt[:start].rstrip() + prompt[closing + len("</IMPORTANT>") :]).strip("\n")


def _described(text: str) -> Json:
    """A function from what stands behind its number: `1: bash ----`, a description, and parameters."""
    head, _, text = text.partition(" ----\n")
    name = head.partition(": ")[2]
    description, _, parameters = text.partition("\nParameters:")
    properties, required = {}, []
    for key, kind, needed, about in _PARAMETER.findall(parameters)[:_MOST_PARAMETERS]:
        properties[key] = {"type": kind, "description": " ".join(about.split())}
        required += [key] if needed == "required" else []
    schema = {"type": "object", "properties": properties, "required": required}
    about = description.removeprefix("Description:").removesuffix(
        "No parameters are required for this function.\n"
    )
    return {
        "type": "function",
        "function": {"name": name, "description": about.strip(), "parameters": schema},
    }


# ── inferred ──────────────────────────────────────────────────────────────────────────────────────


class Inferred:
    """Definitions from the calls that were made: it sees all of them, and keeps names and types only."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        """Tool → calls that it was inferred from."""
        self._types: dict[str, dict[str, set[str]]] = {}
        self._always: dict[str, set[str]] = {}

    def see(self, messages: Iterable[Message]) -> None:
        """Take in the calls of a conversation. A call whose arguments are no JSON object tells nothing."""
        for message in messages:
            for call in message.tool_calls:
                arguments = arguments_of(call)
                if arguments is not None and _NAME.fullmatch(call.name):
                    self._see(call.name, arguments)

    def _see(self, name: str, arguments: Json) -> None:
        if name not in self._types and len(self._types) >= _MOST_TOOLS:
            return
        self.calls[name] += 1
        types = self._types.setdefault(name, {})
        self._always[name] = self._always.get(name, set(arguments)) & arguments.keys()
        for key, value in arguments.items():
            if value is not None and (key in types or len(types) < _MOST_PARAMETERS):
                types.setdefault(key, set()).add(_TYPES[type(value)])

    def definitions(self) -> Tools:
        """The same, in whatever order the calls were seen."""
        return [self._definition(name) for name in sorted(self._types)]

    def _definition(self, name: str) -> Json:
        types = self._types[name]
        schema: Json = {
            "type": "object",
            "properties": {key: _typed(types[key]) for key in sorted(types)},
            "required": sorted(self._always[name] & types.keys()),
        }
        return {"type": "function", "function": {"name": name, "parameters": schema}}


def _typed(types: set[str]) -> Json:
    found = sorted(types - {"integer"} if "number" in types else types)
    return {"type": found[0] if len(found) == 1 else found}
