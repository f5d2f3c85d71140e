"""Calls as JSON between tags: vLLM's and SGLang's parser named `hermes`.

They part company over a closing tag inside a string: vLLM looks for the tag first, SGLang reads JSON first.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from sera.formats.servers.calls import CLOSE, OPEN, Call, CannotRead, Parser, Tools

_BODY = re.compile(f"{OPEN}(.*?){CLOSE}|{OPEN}(.*)", re.DOTALL)
_JSON = json.JSONDecoder()


def _vllm(text: str, tools: Tools) -> list[Call]:  # noqa: ARG001 - JSON needs no schema
    """Each tag up to the next closing one, or to the end. One body that is not JSON spoils all."""
    return [_call(_load(closed or rest)) for closed, rest in _BODY.findall(text)]


def _load(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise CannotRead(f"vLLM finds no JSON between the tags ({problem})") from problem


def _sglang(text: str, tools: Tools) -> list[Call]:  # noqa: ARG001
    """One JSON value after each tag; nothing after the first that is malformed."""
    calls: list[Call] = []
    position = text.find(OPEN)
    while position >= 0:
        start = position + len(OPEN)
        start += len(text[start:]) - len(text[start:].lstrip(" \t\r\n"))
        try:
            value, end = _JSON.raw_decode(text, start)
        except (ValueError, RecursionError):
            break
        calls += [_call(one) for one in (value if isinstance(value, list) else [value])]
        position = text.find(OPEN, end)
    return calls


def _call(value: Any) -> Call:
    try:
        return value["name"], value["arguments"]
    except (KeyError, TypeError) as missing:
        raise CannotRead(f"a call has no name or no arguments: {json.dumps(value)[:80]}") from missing


HERMES: Mapping[str, Parser] = {"vLLM": _vllm, "SGLang": _sglang}
