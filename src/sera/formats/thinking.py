"""What becomes of reasoning: the modes of the paper's ablation."""

from enum import StrEnum

import msgspec

from sera.records import Message


class Think(StrEnum):
    """A mode, applied to every assistant message. Calls are never touched."""

    KEEP = "keep"
    """Reasoning and text as they were said."""
    DROP = "drop"
    """The text without the reasoning."""
    ONLY = "only"
    """The reasoning without the text; the text of a turn that has no reasoning stays."""
    WRAP = "wrap"
    """The text as the end of the reasoning."""


def rethink(message: Message, mode: Think) -> Message:
    """The message in that mode."""
    if message.role != "assistant" or mode is Think.KEEP:
        return message
    reasoning, content = message.reasoning.strip(), message.content.strip()
    if mode is Think.DROP:
        reasoning = ""
    elif mode is Think.WRAP:
        reasoning, content = "\n\n".join(filter(None, (reasoning, content))), ""
    elif reasoning:
        content = ""
    return msgspec.structs.replace(message, reasoning=reasoning, content=content)
