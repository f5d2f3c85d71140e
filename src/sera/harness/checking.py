"""A harness profile, looked through as a whole before a run: a word that is missing would show in the middle
of what was paid for.

Measured by the profile that ships with sera, whose words are those that the code fills in: the same names, in
each the same placeholders, and no tool or parameter that the agent does not have.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import msgspec

PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_NEARLY = re.compile(r"\{\{?\s*(\w+)\s*\}\}?")
_MOST = 20
_LAST = "submit"
"""The tool without which no rollout ends."""


class _Kind(msgspec.Struct):
    type: Literal["string", "integer", "array"]
    enum: list[str] = []
    items: "_Kind | None" = None


class _Parameters(msgspec.Struct):
    properties: dict[str, _Kind]
    required: list[str]


class _Function(msgspec.Struct):
    name: str
    parameters: _Parameters


class _Tool(msgspec.Struct):
    function: _Function
    type: Literal["function"]


def faults_of(
    prompts: Mapping[str, str],
    observations: Mapping[str, str],
    categories: Mapping[str, str],
    tools: list[dict[str, Any]],
    shipped: Any,
    optional: Collection[str],
) -> list[str]:
    """What is wrong with a profile's words, each with its place; at most twenty. `shipped` is the profile to
    measure by; of its observations `optional` may be missing."""
    faults = [
        *_in_words("{}.md", prompts, shipped.prompts, ()),
        *_in_words("observations.toml: {}", observations, shipped.observations, optional),
        *_in_categories(categories),
        *_in_tools(tools, shipped.tools),
    ]
    return faults[:_MOST]


def _in_words(
    place: str, words: Mapping[str, str], wanted: Mapping[str, str], optional: Collection[str]
) -> Iterator[str]:
    for name in wanted.keys() - words.keys() - set(optional):
        yield f"{place.format(name)} is missing"
    for name, text in words.items():
        where = place.format(name)
        if name not in wanted:
            yield f"{where} is never said: known are {', '.join(wanted)}"
            continue
        used, filled = set(PLACEHOLDER.findall(text)), set(PLACEHOLDER.findall(wanted[name]))
        near = {one[1] for one in _NEARLY.finditer(text) if not PLACEHOLDER.fullmatch(one[0])} & (
            filled - used
        )
        for one in sorted(near):
            yield f"{where} writes {one} in other braces than {{{{{one}}}}}"
        for one in sorted(filled - used - near):
            yield f"{where} lacks {{{{{one}}}}}"
        for one in sorted(used - filled):
            yield f"{where} has {{{{{one}}}}}, which nothing fills in"


def _in_categories(categories: Mapping[str, str]) -> Iterator[str]:
    if not categories:
        yield "categories.toml has no category, so no task can be planned"
    for name, concern in categories.items():
        if not concern.strip():
            yield f"categories.toml: {name} raises no concern"


def _in_tools(tools: list[dict[str, Any]], shipped: list[dict[str, Any]]) -> Iterator[str]:
    known = {tool.function.name: tool.function.parameters for tool in msgspec.convert(shipped, list[_Tool])}
    seen: set[str] = set()
    for number, wire in enumerate(tools, 1):
        try:
            function = msgspec.convert(wire, _Tool).function
        except msgspec.ValidationError as problem:
            yield f"tools.json: tool {number}: {problem}"
            continue
        where = f"tools.json: {function.name}"
        if function.name in seen:
            yield f"{where} stands there twice"
        elif function.name not in known:
            yield f"{where} is no tool of the agent's: {', '.join(known)}"
        else:
            yield from _in_parameters(where, function.parameters, known[function.name])
        seen.add(function.name)
    if _LAST not in seen:
        yield f"tools.json lacks the tool {_LAST}, without which no rollout ends"


def _in_parameters(where: str, given: _Parameters, known: _Parameters) -> Iterator[str]:
    for name in sorted(set(given.required) - given.properties.keys()):
        yield f"{where} requires {name}, which is not among its parameters"
    for name in sorted(set(known.required) - set(given.required)):
        yield f"{where} does not require {name}, which the agent needs"
    for name, kind in given.properties.items():
        if name not in known.properties:
            yield f"{where} has the parameter {name}, which the agent does not read"
            continue
        wanted = known.properties[name]
        if (kind.type, kind.items and kind.items.type) != (wanted.type, wanted.items and wanted.items.type):
            yield f"{where}: {name} is no {wanted.type} as the agent reads it"
        if wanted.enum and (not kind.enum or set(kind.enum) - set(wanted.enum)):
            yield f"{where}: {name} may only be one of {', '.join(wanted.enum)}"
