"""Items of OpenAI's Responses API as messages of the chat-completions form.

One answer of the model is several items there: reasoning, messages and calls, which follow each other. They
become one message; what a tool gave back, or somebody else said, ends it. The reasoning of OpenAI's own
models is encrypted, and at most its summary can be read.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator

from sera.datasets.exchange.thoughts import plain_text, text_of
from sera.datasets.exchange.trajectory import Json, lose

_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_CALLS = ("function_call", "custom_tool_call")
"""The second has a text for its input, which becomes the argument `input`."""
ITEMS = frozenset({"reasoning", *_CALLS, *_OUTPUTS})
"""Types of items that are no message."""


def chat_of(items: Iterable[Json], lost: Counter[str]) -> Iterator[Json]:
    """Messages from items, in order. Items of another type, such as searches of the server's own, are
    counted in `lost`."""
    answer: Json = {}
    for item in items:
        kind = str(item.get("type", "message"))
        spoken = kind == "message" and item.get("role") == "assistant"
        if kind in ITEMS - set(_OUTPUTS) or spoken:
            _add(answer, item, kind, lost)
            continue
        if kind not in ("message", *_OUTPUTS):
            lose(lost, [f"item {kind}"])
            continue
        if answer:
            yield answer
            answer = {}
        yield item if kind == "message" else _output(item)
    if answer:
        yield answer


def _add(answer: Json, item: Json, kind: str, lost: Counter[str]) -> None:
    """One more item of the answer that is being put together."""
    answer.setdefault("role", "assistant")
    answer.setdefault("content", "")
    if kind == "reasoning":
        thought = text_of(item, lost)
        answer["reasoning"] = "\n\n".join(filter(None, (answer.get("reasoning"), thought)))
    elif kind == "message":
        answer["content"] += plain_text(item.get("content"))
    else:
        given = item.get("arguments") if kind == "function_call" else json.dumps({"input": item.get("input")})
        function = {"name": item.get("name"), "arguments": given}
        identity = item.get("call_id") or item.get("id")
        answer.setdefault("tool_calls", []).append({"id": identity, "type": "function", "function": function})


def _output(item: Json) -> Json:
    return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output") or ""}
