"""From a model's reply to one checked tool call, or to the observation that says what was wrong.

Models write null for what they leave out, and numbers and lists as text. What the tool's definition allows
one reading of is read so: null of an optional parameter as if it were not there, `3.0` and `"3"` as 3 where a
whole number is wanted, `"[1, 2]"` as a list where one is. Nothing else is: no number is taken for text, no
item for a list. The message stays as it came: only what is run is read so, and datasets judge what was
written.
"""

from typing import Any

import msgspec

from sera.harness import Profile
from sera.records import ToolCall
from sera.teachers.contract import Reply
from sera.untrusted import decode

_KINDS = {"string": (str, "text"), "integer": (int, "a whole number"), "array": (list, "a list")}


class Call(msgspec.Struct, frozen=True):
    """A tool call that fits its definition, its arguments of the types that stand there."""

    name: str
    arguments: dict[str, Any]


class Malformed(msgspec.Struct, frozen=True):
    """No usable call: what to tell the model."""

    observation: str
    unparsed: bool = False
    """Whether the arguments were not even a JSON object."""


def read_call(reply: Reply, profile: Profile) -> Call | Malformed:
    """The one call of a reply, checked against the profile's tool definitions."""
    calls = reply.message.tool_calls
    cut_off = reply.finish_reason == "length"
    if not calls:
        return Malformed(profile.say("cut_off" if cut_off else "no_call"))
    if len(calls) > 1:
        return Malformed(profile.say("many_calls", count=len(calls)))
    return _check(calls[0], cut_off, profile)


def _check(call: ToolCall, cut_off: bool, profile: Profile) -> Call | Malformed:
    definitions = {tool["function"]["name"]: tool["function"]["parameters"] for tool in profile.tools}
    arguments, problem = parse_arguments(call.arguments)
    if arguments is None:
        told = profile.say("cut_off") if cut_off else profile.say("bad_json", name=call.name, problem=problem)
        return Malformed(told, unparsed=True)
    if call.name not in definitions:
        return Malformed(profile.say("unknown_tool", name=call.name, tools=", ".join(definitions)))
    schema = definitions[call.name]
    arguments = _near(arguments, schema)
    if problem := _misfit(arguments, schema):
        return Malformed(profile.say("bad_arguments", name=call.name, problem=problem))
    return Call(call.name, arguments)


def parse_arguments(text: str) -> tuple[dict[str, Any] | None, str]:
    """(arguments, "") if `text` is a JSON object, else (None, what is wrong with it)."""
    try:
        return decode(text, dict[str, Any]), ""
    except msgspec.DecodeError as problem:
        return None, str(problem)


def _near(arguments: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The arguments, read by a tool's parameters; what these do not allow stays as it is."""
    known = schema["properties"]
    optional = known.keys() - schema["required"]
    return {
        name: _near_value(value, known[name]) if name in known else value
        for name, value in arguments.items()
        if not (value is None and name in optional)
    }


def _near_value(value: object, schema: dict[str, Any]) -> object:
    kind = schema["type"]
    if kind != "string" and isinstance(value, str):
        try:
            value = decode(value)
        except msgspec.DecodeError:
            return value
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "array" and isinstance(value, list):
        return [_near_value(item, schema["items"]) for item in value]
    return value


def _misfit(arguments: dict[str, Any], schema: dict[str, Any]) -> str:
    """What keeps `arguments` from fitting a tool's parameters, or nothing."""
    for name in schema["required"]:
        if name not in arguments:
            return f"{name} is missing"
    for name, value in arguments.items():
        if name not in schema["properties"]:
            return f"there is no parameter {name}"
        if problem := _misfit_value(value, schema["properties"][name]):
            return f"{name} must be {problem}"
    return ""


def _misfit_value(value: object, schema: dict[str, Any]) -> str:
    kind, description = _KINDS[schema["type"]]
    if not isinstance(value, kind) or isinstance(value, bool):
        return description
    if "enum" in schema and value not in schema["enum"]:
        return f"one of {', '.join(schema['enum'])}"
    if isinstance(value, list) and any(_misfit_value(item, schema["items"]) for item in value):
        return f"a list, each item {_KINDS[schema['items']['type']][1]}"
    return ""
