"""One turn as a server hands it to a client: reasoning, text and calls apart.

Reasoning is what stands before `</think>`. The text ends where the first call begins. White space around
both is dropped: SGLang does so, and a client of vLLM has to, since vLLM leaves the line breaks that stand
between the parts, and a template writes its own.
"""

import json
from collections.abc import Iterable

from sera.formats.servers.calls import OPEN, Call, CannotRead, Parser, Tools
from sera.records import Message, ToolCall


def read_turn(text: str, parser: Parser, tools: Tools) -> Message:
    """What a client gets for this text; all of it as content where the parser cannot read it."""
    reasoning, spoken = split_turn(text)
    try:
        calls = parser(spoken, tools)
    except CannotRead:
        calls = []
    content = spoken[: spoken.find(OPEN)] if calls else spoken
    return Message(
        role="assistant",
        content=content.strip(),
        reasoning=reasoning,
        tool_calls=tuple(_record(call, number) for number, call in enumerate(calls)),
    )


def split_turn(text: str) -> tuple[str, str]:
    """(reasoning, rest) at the first `</think>`, which is where both servers cut: later ones are words."""
    before, closing, after = text.partition("</think>")
    if not closing:
        return "", text
    _, opening, inside = before.partition("<think>")
    return (inside if opening else before).strip(), after


def _record(call: Call, number: int) -> ToolCall:
    """Both servers write the arguments anew, in the spelling of Python's `json`."""
    name, arguments = call
    written = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(id=f"call_{number}", name=str(name), arguments=written)


def same_calls(some: Iterable[Call], others: Iterable[Call]) -> bool:
    """Whether two lists of calls are the same, order of keys and types of values included."""
    return json.dumps(list(some)) == json.dumps(list(others))
