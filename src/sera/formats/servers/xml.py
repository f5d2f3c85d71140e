"""Calls as tags for each parameter: vLLM's and SGLang's parser named `qwen3_coder`.

Both look for the tags with the regular expressions below. vLLM has since learnt to tell a tag inside a
value from one of its own; what the expressions read rightly, it reads too. What a text means is the
schema's to say, and here the two differ: to SGLang `null` is no value whatever the type, and to vLLM a
number without a fraction is a whole one.
"""

import ast
import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from sera.formats.servers.calls import CLOSE, OPEN, Call, CannotRead, Parser, Tools, name_of, properties

_BODY = re.compile(f"{OPEN}(.*?){CLOSE}|{OPEN}(.*?)$", re.DOTALL)
_FUNCTION = re.compile(r"<function=(.*?)</function>|<function=(.*)$", re.DOTALL)
_PARAMETER = re.compile(
    r"<parameter=(.*?)(?:</parameter>|(?=<parameter=)|(?=</function>)|$)",
    re.DOTALL,
)
_TEXTS = frozenset({"string", "str", "text", "varchar", "char", "enum"})
_WHOLE = ("int", "uint", "long", "short", "unsigned")
_BROKEN = ("num", "float")
_TRUTH = frozenset({"boolean", "bool", "binary"})


class _Habits(NamedTuple):
    """Where the servers differ."""

    nulls: frozenset[str]
    """Words for no value."""
    null_texts: bool
    """Whether they are no value also where text is wanted."""
    whole_floats: bool
    """Whether `5.0` stays a float."""


def _read(text: str, tools: Tools, habits: _Habits) -> list[Call]:
    bodies = [closed or rest for closed, rest in _BODY.findall(text)]
    calls = [
        _call(closed or rest, tools, habits) for body in bodies for closed, rest in _FUNCTION.findall(body)
    ]
    if bodies and not calls:
        raise CannotRead("there is no function between the tags")
    return calls


def _call(function: str, tools: Tools, habits: _Habits) -> Call:
    name, closing, rest = function.partition(">")
    if not closing:
        raise CannotRead("a function has no name")
    schemas = next((properties(tool) for tool in tools if name_of(tool) == name), {})
    arguments: dict[str, Any] = {}
    for found in _PARAMETER.findall(rest):
        key, _, value = found.partition(">")
        arguments[key] = _typed(value.removeprefix("\n").removesuffix("\n"), schemas.get(key), habits)
    return name, arguments


def _typed(text: str, schema: dict[str, Any] | None, habits: _Habits) -> Any:
    kind = str((schema or {}).get("type", "string")).strip().lower()
    if text.lower() in habits.nulls and (habits.null_texts or kind not in _TEXTS):
        return None
    if schema is None or kind in _TEXTS:
        return text
    if kind in _TRUTH:
        return text.lower() == "true"
    try:
        if kind.startswith(_WHOLE):
            return int(text)
        if kind.startswith(_BROKEN):
            return _number(text, habits.whole_floats)
        return json.loads(text)
    except (ValueError, RecursionError):
        return text if kind.startswith(_WHOLE + _BROKEN) else _literal(text)


def _number(text: str, whole_floats: bool) -> float:
    number = float(text)
    looks_broken = "." in text or "e" in text.lower()
    return number if not number.is_integer() or (whole_floats and looks_broken) else int(number)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


_VLLM = _Habits(frozenset({"null", "none"}), null_texts=False, whole_floats=False)
_SGLANG = _Habits(frozenset({"null"}), null_texts=True, whole_floats=True)
XML: Mapping[str, Parser] = {
    "vLLM": partial(_read, habits=_VLLM),
    "SGLang": partial(_read, habits=_SGLANG),
}
