"""Ids of tool calls, which no two calls of a conversation may share: answers of tools name them."""

from collections.abc import Iterable

import msgspec

from sera.records import Message, ToolCall


def with_unique_ids(message: Message, before: Iterable[Message]) -> Message:
    """The message with ids of its calls that are new: some servers number each answer's calls from 0, and a
    text holds none."""
    taken = {call.id for one in before for call in one.tool_calls}
    calls: list[ToolCall] = []
    tried: dict[str, int] = {}
    for call in message.tool_calls:
        identity, n = call.id, tried.get(call.id, 1)
        while identity in taken:
            n += 1
            identity = f"{call.id}_{n}"
        taken.add(identity)
        tried[call.id] = n
        calls.append(call if identity == call.id else msgspec.structs.replace(call, id=identity))
    return msgspec.structs.replace(message, tool_calls=tuple(calls))
