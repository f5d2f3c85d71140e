"""Secrets out of whole messages, so that what is left of a tool call is still JSON."""

from typing import Any

import msgspec

from sera.records import Message, ToolCall
from sera.redaction.redactor import Redactor
from sera.untrusted import decode


def clean_message(message: Message, redactor: Redactor) -> Message:
    """The message without secrets; the very same one if it holds none."""
    cleaned = msgspec.structs.replace(
        message,
        content=redactor.clean(message.content),
        reasoning=redactor.clean(message.reasoning),
        tool_calls=tuple(_clean_call(call, redactor) for call in message.tool_calls),
    )
    return message if cleaned == message else cleaned


def _clean_call(call: ToolCall, redactor: Redactor) -> ToolCall:
    return msgspec.structs.replace(
        call,
        id=redactor.clean(call.id),
        name=redactor.clean(call.name),
        arguments=_clean_arguments(call.arguments, redactor),
    )


def _clean_arguments(text: str, redactor: Redactor) -> str:
    """Escapes may hide a secret, so what has any is read first; only what held a secret is written anew.
    What was JSON stays JSON, unless a secret lies across its values."""
    if "\\" not in text and redactor.clean(text) == text:
        return text
    try:
        arguments = decode(text)
    except msgspec.DecodeError:
        return redactor.clean(text)
    cleaned = _clean_value(arguments, redactor)
    return redactor.clean(text if cleaned == arguments else msgspec.json.encode(cleaned).decode())


def _clean_value(value: Any, redactor: Redactor) -> Any:
    match value:
        case str():
            return redactor.clean(value)
        case list():
            return [_clean_value(item, redactor) for item in value]
        case dict():
            return {redactor.clean(key): _clean_value(item, redactor) for key, item in value.items()}
        case _:
            return value
