"""Licences of the source files that a sample touches or shows.

A file's licence is what its own head says, as an SPDX line or in words, where a tool has shown the head; else
that of the repository. Counted are the files of a patch and those that a tool was called with by path. What
commands print of files is not traced back to them.
"""

import re
from collections import Counter
from collections.abc import Iterator

import msgspec

from sera.datasets.exchange.licences import UNKNOWN, recognise
from sera.datasets.sample import Sample
from sera.datasets.selection.patches import read_patch
from sera.records import Message
from sera.untrusted import decode

_KEYS = ("path", "file_path", "file", "filename")
_FILE = re.compile(r"[^\n]*[^\n/]\.\w{1,8}")
_HEAD = 3_000
"""Characters of a file in which it names its licence."""
_SPDX = re.compile(
    r"SPDX-License-Identifier:[ \t]*\(?([A-Za-z0-9.+-]+(?:[ ](?:AND|OR|WITH)[ ][A-Za-z0-9.+-]+)*)"
)
_MARGIN = re.compile(r"^[ \t]*(?:\d+\t|\d+:)?[ \t]*(?:#|//|/?\*+|--|;|%)?[ \t]*", re.MULTILINE)


def file_licences(sample: Sample) -> Counter[str]:
    """SPDX identifier, or `unknown` → files of this sample."""
    heads: dict[str, str] = dict.fromkeys(read_patch(sample.patch).files, "")
    for path, answer in _opened(sample.messages):
        known = next((name for name in heads if path.endswith(f"/{name}")), path)
        heads[known] = heads.get(known) or licence_of(answer)
    return Counter(licence or sample.source.licence or UNKNOWN for licence in heads.values())


def licence_of(text: str) -> str:
    """What the head of a file says of its licence; empty if nothing."""
    head = text[:_HEAD]
    if found := _SPDX.search(head):
        return found[1]
    if "icense" not in head and "ermission" not in head:
        return ""
    named = recognise(_MARGIN.sub("", head))
    return "" if named == UNKNOWN else named


def _opened(messages: tuple[Message, ...]) -> Iterator[tuple[str, str]]:
    """The files that tools were called with, each with the answer."""
    paths: dict[str, str] = {}
    for message in messages:
        if message.role == "tool" and (path := paths.pop(message.tool_call_id, "")):
            yield path, message.content
        for call in message.tool_calls:
            if path := _path(call.arguments):
                paths[call.id] = path


def _path(arguments: str) -> str:
    try:
        given = decode(arguments)
    except msgspec.DecodeError:
        return ""
    values = (given.get(key) for key in _KEYS) if isinstance(given, dict) else ()
    return next((value for value in values if isinstance(value, str) and _FILE.fullmatch(value)), "")
