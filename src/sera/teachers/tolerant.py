"""Tool calls found in plain text, as small models write them.

A server's parser finds a call only in the form its model was trained on, and leaves anything else in the
text, where an agent sees no call at all. This one overlooks what can be overlooked without a guess about
what was meant, and says what it was:

    hermes          `<tool_call>{"name": …, "arguments": …}</tool_call>`: nothing to overlook
    xml             `<function=name><parameter=key>value</parameter></function>`: nothing to overlook
    mistagged       another tag, as in `<tools>{"name": …}</tools>`
    unclosed        the text ends before the closing tag
    unfinished      closing braces are missing at the very end
    surplus         a brace too many at one end or both, or a lone fence behind
    loose           line breaks within strings
    followed        text after the object
    nested          a call whose arguments are the call itself, or tags within tags
    quoted          the arguments are an object written as a string
    renamed         `parameters`, `args` or `input` for `arguments`; `function` or `tool` for `name`
    empty           a name and nothing else: the tool itself says what is missing, if anything is
    fenced          a Markdown block that holds nothing but a call
    bare            a message that begins with the object of a call, or ends in it, without any mark

Where no tag says that a call begins (fenced, bare) only a tool that was offered counts. An answer cut off
within the arguments holds no call: what it would have said is not known. The definition of a tool, repeated
by a model that was shown it, is none either.
"""

import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from sera.formats.messages import split_reasoning
from sera.records import Message, ToolCall

Json = dict[str, Any]
Tools = Sequence[Json]
"""Tool definitions in the chat-completions form."""

_OPEN = re.compile(r"<(?:tool_calls?|tools)>")
_CLOSE = re.compile(r"</(?:tool_calls?|tools)>")
_TAGS = ("<tool_call>", "</tool_call>")
"""As they should be."""
_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)(</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL)
_MAY_BEGIN = "<{[`"
"""Characters that a call in any of the forms may begin with."""
_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_BLANKS = re.compile(r"\s*")
_NAMES = ("name", "function", "tool", "tool_name")
_ARGUMENTS = ("arguments", "parameters", "args", "input")
_SCHEMA = {"type", "properties", "required", "additionalProperties", "description", "strict"}
"""Fields of a tool's definition beside its parameters."""
_MISSING_BRACES = 3
_UNKNOWN = "\ufffd"
_DEPTH = 4
"""Calls within calls that are looked into."""
_DECODER = json.JSONDecoder(strict=False)
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair: an escape in JSON can write one, and no text with it can be stored or sent."""


class Found(NamedTuple):
    """A call in a text."""

    name: str
    arguments: Json
    repair: frozenset[str] = frozenset()


def read_text(text: str, tools: Tools) -> Message:
    """The assistant's message that `text` stands for: reasoning, text and the calls found in it."""
    reasoning, spoken = split_reasoning(text)
    content, found = find_calls(spoken, tools)
    calls = tuple(
        ToolCall(
            id=f"call_{n}",
            name=_HALF.sub(_UNKNOWN, one.name),
            arguments=_HALF.sub(_UNKNOWN, json.dumps(one.arguments, ensure_ascii=False)),
            repair=", ".join(sorted(one.repair)),
        )
        for n, one in enumerate(found)
    )
    return Message(role="assistant", content=content, reasoning=reasoning, tool_calls=calls)


def with_calls(message: Message, tools: Tools) -> Message:
    """A server's message, with the calls that its own parser left in the text."""
    if message.tool_calls or not tools or not message.content:
        return message
    read = read_text(message.content, tools)
    return msgspec.structs.replace(read, reasoning=message.reasoning or read.reasoning)


def plain_beginning(hear: Callable[[str], None], tools: Tools) -> Callable[[str], None]:
    """`hear`, told only what is certainly text: up to where reasoning, or with tools a call, may begin."""
    marks = _MAY_BEGIN if tools else "<"
    ended, held = False, ""

    def told(piece: str) -> None:
        nonlocal ended, held
        if ended:
            return
        at = min((n for mark in marks if (n := piece.find(mark)) >= 0), default=len(piece))
        ended, text = at < len(piece), held + piece[:at]
        sure = text.rstrip()
        held = text[len(sure) :]
        if sure:
            hear(sure)

    return told


def find_calls(text: str, tools: Tools) -> tuple[str, list[Found]]:
    """(the text before the first call, all calls). Forms with a tag come first: if there is one, what
    stands elsewhere is text."""
    schemas = {str(tool["function"]["name"]): _properties(tool["function"]) for tool in tools}
    for reader in (_tagged, _functions, _fenced, _bare):
        start, found = reader(text, schemas)
        if found:
            return text[:start].strip(), found
    return text, []


def _properties(function: Json) -> Json:
    properties: Json = function.get("parameters", {}).get("properties", {})
    return properties


Schemas = dict[str, Json]
"""Tool to its parameters, each with its JSON schema."""
Reading = tuple[int, list[Found]]
"""Where the first call begins, and the calls."""


def _tagged(text: str, schemas: Schemas) -> Reading:
    openings = list(_openings(text))
    if not openings:
        return 0, []
    ends = [opening.start() for opening in openings[1:]] + [len(text)]
    found = [
        _mended(one, *_mistagged(opening))
        for opening, end in zip(openings, ends, strict=True)
        for one in _in_tag(text[opening.end() : end], schemas)
    ]
    if len(openings) > 1 and len(found) == 1:
        found = [_mended(found[0], "nested")]
    return openings[0].start(), found


def _openings(text: str) -> Iterator[re.Match[str]]:
    """Opening tags, but for those within the object of the one before."""
    end = 0
    for opening in _OPEN.finditer(text):
        if opening.start() >= end:
            yield opening
            end = _end_of_object(text, opening.end())


def _end_of_object(text: str, start: int) -> int:
    """Where a whole object that begins here ends, after blanks; `start` if there is none."""
    at = _BLANKS.match(text, start)
    with suppress(ValueError, RecursionError):
        return _DECODER.raw_decode(text, at.end() if at else start)[1]
    return start


def _in_tag(body: str, schemas: Schemas) -> list[Found]:
    closing = _CLOSE.search(body)
    inner = body[: closing.start()] if closing else body
    overlooked = _mistagged(closing) if closing else ["unclosed"]
    _, functions = _functions(inner, schemas)
    if functions:
        return [_mended(one, *overlooked) for one in functions]
    if fence := _FENCE.search(inner):
        inner = fence[1]
        overlooked.append("fenced")
    one = _from_object(inner) or _from_object(body)  # a closing tag may stand within a string
    found = _from_lines(inner) or ([one] if one else [])
    return [_mended(one, *overlooked) for one in found]


def _mistagged(tag: re.Match[str]) -> list[str]:
    return [] if tag[0] in _TAGS else ["mistagged"]


def _mended(one: Found, *overlooked: str) -> Found:
    return one._replace(repair=one.repair.union(overlooked))


def _functions(text: str, schemas: Schemas) -> Reading:
    matches = list(_FUNCTION.finditer(text))
    found = []
    for match in matches:
        name, schema = match[1].strip(), schemas.get(match[1].strip(), {})
        pairs = [(key.strip(), value) for key, value in _PARAMETER.findall(match[2])]
        arguments = {key: _typed(value, schema.get(key, {})) for key, value in pairs}
        found.append(Found(name, arguments, frozenset(() if match[3] else ("unclosed",))))
    return matches[0].start() if matches else 0, found


def _typed(value: str, schema: Json) -> object:
    """A parameter's text as the tool's schema has it: only the schema can tell `5` from `"5"`."""
    if schema.get("type", "string") == "string":
        return value
    decoded, _ = _decode(value)
    return value if decoded is None else decoded


def _fenced(text: str, schemas: Schemas) -> Reading:
    fences = [(match.start(), _from_object(match[1])) for match in _FENCE.finditer(text)]
    calls = [(start, one) for start, one in fences if one and one.name in schemas]
    found = [_mended(one, "fenced") for _, one in calls]
    return calls[0][0] if calls else 0, found


def _bare(text: str, schemas: Schemas) -> Reading:
    for start in _line_starts(text):
        one = _from_object(text[start:])
        at_one_end = not text[:start].strip() or (one and "followed" not in one.repair)
        if one and one.name in schemas and at_one_end:
            return start, [_mended(one, "bare")]
    return 0, []


def _line_starts(text: str) -> Iterator[int]:
    """Where an object may begin: line starts with a brace, the first one first."""
    return (match.start() for match in re.finditer(r"^\{", text, re.MULTILINE))


# ── objects ───────────────────────────────────────────────────────────────────────────────────────


def _from_lines(body: str) -> list[Found]:
    """The calls of a body that has one on each of several lines."""
    lines = [line for line in body.splitlines() if line.strip()]
    found = [one for line in lines if (one := _from_object(line))]
    return found if len(found) == len(lines) > 1 else []


def _from_object(body: str) -> Found | None:
    body = body.strip()
    value, repair = _decode(body.removeprefix("{") if body.startswith("{{") else body)
    return _call(value, repair, _DEPTH) if isinstance(value, dict) else None


def _decode(body: str) -> tuple[object, frozenset[str]]:
    """The JSON at the start of a text, and what had to be overlooked; None if there is none."""
    with suppress(ValueError, RecursionError):
        return json.loads(body), frozenset()
    for missing in range(_MISSING_BRACES):
        with suppress(ValueError, RecursionError):
            value, end = _DECODER.raw_decode(body + "}" * missing)
            return value, frozenset({"unfinished" if missing else _behind(body[end:])})
    return None, frozenset()


def _behind(rest: str) -> str:
    """What to overlook for the sake of what stands behind an object."""
    if not rest.strip():
        return "loose"
    return "followed" if rest.strip("}`" + string.whitespace) else "surplus"


def _call(value: Json, repair: frozenset[str], depth: int) -> Found | None:
    name_key, name = _first(value, _NAMES)
    arguments_key, arguments = _first(value, _ARGUMENTS)
    if isinstance(name, dict) and depth:
        return _call(name, repair | {"nested"}, depth - 1)
    if isinstance(name, str) and len(value) == 1:
        return Found(name, {}, repair | {"empty"})
    if isinstance(arguments, str):
        arguments, _ = _decode(arguments)
        repair |= {"quoted"}
    if not isinstance(name, str) or not isinstance(arguments, dict) or _is_schema(arguments):
        return None
    if depth and _is_call_of(arguments, name):
        return _call(arguments, repair | {"nested"}, depth - 1)
    if (name_key, arguments_key) != (_NAMES[0], _ARGUMENTS[0]):
        repair |= {"renamed"}
    return Found(name, arguments, repair)


def _is_schema(arguments: Json) -> bool:
    return isinstance(arguments.get("properties"), dict) and arguments.keys() <= _SCHEMA


def _is_call_of(arguments: Json, name: str) -> bool:
    return arguments.get("name") == name and isinstance(_first(arguments, _ARGUMENTS)[1], dict)


def _first(value: Json, keys: Iterable[str]) -> tuple[str, Any]:
    return next(((key, value[key]) for key in keys if key in value), ("", None))
