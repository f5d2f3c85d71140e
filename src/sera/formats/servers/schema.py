"""Whether a call is one of those that its tools define.

SGLang drops a call of a tool that it was not told of, vLLM hands it to the client; arguments are checked
by neither, and fail in the agent. So much of JSON Schema is read as tool definitions use: `type`, `enum`,
`const`, `properties`, `required`, `additionalProperties`, `items`, `anyOf`, `oneOf`, `allOf`, `nullable`.
What is not understood allows everything.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sera.formats.servers.calls import Call, Tools

UNDEFINED_TOOL = "undefined_tool"
UNKNOWN_ARGUMENT = "unknown_argument"
MISSING_ARGUMENT = "missing_argument"
WRONG_ARGUMENT = "wrong_argument"
"""Of another type than the definition has, or none of the values that it lists."""

Schema = Mapping[str, Any]
_DEEPEST = 8
"""Levels of a value that are looked at."""
_MOST = 100
"""Entries of a list that are looked at."""
_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("string", "str", "text", "varchar", "char", "enum"), (str,)),
    **dict.fromkeys(("integer", "int"), (int,)),
    **dict.fromkeys(("number", "float", "double"), (int, float)),
    **dict.fromkeys(("boolean", "bool"), (bool,)),
    **dict.fromkeys(("array", "list"), (list,)),
    **dict.fromkeys(("object", "dict"), (dict,)),
    "null": (type(None),),
}


def schemas_of(tools: Tools) -> dict[str, Schema]:
    """The schema of each tool's parameters, by its name."""
    found: dict[str, Schema] = {}
    for tool in tools:
        function = tool.get("function", tool)
        parameters = function.get("parameters") if isinstance(function, dict) else None
        if isinstance(function, dict):
            found[str(function.get("name"))] = parameters if isinstance(parameters, dict) else {}
    return found


def undefined(call: Call, schemas: Mapping[str, Schema]) -> set[str]:
    """What of a call its tools do not define, by the names above; empty: nothing."""
    name, arguments = call
    schema = schemas.get(name)
    if schema is None:
        return {UNDEFINED_TOOL}
    return set(_in_object(arguments, schema, 0)) if isinstance(arguments, dict) else set()


def _in_object(value: Mapping[str, Any], schema: Schema, depth: int) -> Iterator[str]:
    required = schema.get("required")
    if isinstance(required, list) and any(isinstance(key, str) and key not in value for key in required):
        yield MISSING_ARGUMENT
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return
    is_open = schema.get("additionalProperties") not in (None, False) or "patternProperties" in schema
    for key, inner in value.items():
        if key not in properties:
            if not is_open:
                yield UNKNOWN_ARGUMENT
        elif not _fits(inner, properties[key], depth + 1):
            yield WRONG_ARGUMENT


def _fits(value: Any, schema: Any, depth: int) -> bool:
    """Whether a value is allowed by a schema."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return True
    if value is None and schema.get("nullable") is True:
        return True
    if "const" in schema and not _equal(value, schema["const"]):
        return False
    listed = schema.get("enum")
    if isinstance(listed, list) and not any(_equal(value, one) for one in listed):
        return False
    for name, enough in (("anyOf", any), ("oneOf", any), ("allOf", all)):
        choices = schema.get(name)
        listed = choices if isinstance(choices, list) and choices else [True]
        if not enough(_fits(value, choice, depth + 1) for choice in listed):
            return False
    return _of_type(value, schema.get("type")) and _inside(value, schema, depth)


def _inside(value: Any, schema: Schema, depth: int) -> bool:
    if isinstance(value, dict):
        return not any(_in_object(value, schema, depth))
    if isinstance(value, list) and "items" in schema:
        return all(_fits(one, schema["items"], depth + 1) for one in value[:_MOST])
    return True


def _of_type(value: Any, kind: object) -> bool:
    kinds = kind if isinstance(kind, list) else [kind]
    allowed = [_TYPES.get(one.strip().lower()) if isinstance(one, str) else None for one in kinds]
    if not allowed or None in allowed:
        return True
    whole = isinstance(value, float) and value.is_integer()
    return any(type(value) in types or (whole and int in types) for types in allowed if types)


def _equal(value: Any, listed: Any) -> bool:
    """Whether they are the same JSON: in Python `True` is 1."""
    return bool(value == listed) and isinstance(value, bool) == isinstance(listed, bool)
