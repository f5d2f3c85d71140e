"""What a teacher promises: one answer to one conversation.

Errors say whose turn it is. `TeacherRefused` and `ContextOverflow` will come again if the same
request is repeated; any other `TeacherError` was temporary and the teacher has already tried again
as often as it was told to. A teacher keeps no state between requests, so any number may be in
flight at once, and a resumed run may ask again.
"""

from typing import Any, Protocol

import msgspec

from sera.records import Message, Usage


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation to be continued by one assistant message."""

    messages: tuple[Message, ...]
    tools: list[dict[str, Any]] = []
    """Tool definitions in the chat-completions form."""
    seed: int = 0
    """Equal requests with equal seeds get equal answers, as far as the model can do that."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The assistant's message and what it cost."""

    message: Message
    finish_reason: str = "stop"
    """`stop`, `tool_calls` or `length`."""
    usage: Usage = Usage(calls=1)


class Teacher(Protocol):
    """Answers conversations. An async context manager that holds connections, if any."""

    async def __aenter__(self) -> "Teacher": ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def complete(self, request: ChatRequest) -> Reply:
        """Continue a conversation; raises `TeacherError` and its kinds, nothing else."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Model and sampling settings for the record, without any key."""
        ...
