"""What a teacher promises: one answer to one conversation.

Errors say whose turn it is. `TeacherRefused` and `ContextOverflow` will come again if the same
request is repeated; any other `TeacherError` was temporary and the teacher has already tried again
as often as it was told to. A teacher keeps no state between requests, so any number may be in
flight at once, and a resumed run may ask again.

A teacher that costs anything tells a `Meter` about every request it sends: before, what it may cost
at worst; after, what it did cost.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from sera.records import Message, Usage


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How one answer is to be sampled, where that differs from the teacher's own settings."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    """Texts before which the answer ends."""
    must_call: bool = False
    """Whether the answer has to hold a tool call. `TeacherRefused` of one that cannot be made to."""


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation to be continued by one assistant message."""

    messages: tuple[Message, ...]
    tools: list[dict[str, Any]] = []
    """Tool definitions in the chat-completions form."""
    seed: int = 0
    """Equal requests with equal seeds get equal answers, as far as the model can do that."""
    sampling: Sampling = Sampling()
    hear: Callable[[str], None] | None = None
    """Told pieces of the answer's text as they come, by a teacher that can: what is told is the beginning of
    the reply's content, but for blanks around it. An answer that had to be begun again is not told."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The assistant's message and what it cost."""

    message: Message
    finish_reason: str = "stop"
    """`stop`, `tool_calls` or `length`."""
    usage: Usage = Usage(calls=1)
    written: int = 0
    """Of the prompt tokens, those put into the server's cache, where it counts them: some charge more."""
    estimated: bool = False
    """Whether the server reported no usage, or none that can be true, and `usage` is our own guess. Such a
    reply is never settled with a meter: what it cost is uncertain."""


MOST_TOKENS = 2**53
"""More than any server can have counted."""


def token_count(told: object) -> int:
    """A number of tokens as a server reports it, 0 for none. `ValueError` if it cannot be one."""
    if told is None:
        return 0
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told <= MOST_TOKENS:
        raise ValueError(f"no number of tokens: {told!r:.40}")
    return math.ceil(told)


class Meter(Protocol):
    """Counts what requests cost. Every hold ends in exactly one of the three ways, also when cancelled."""

    async def reserve(self, worst: Usage) -> int:
        """A hold for a request that costs at most `worst`; durable on return, so that the request may be
        sent. Waits while open holds may still free what is missing; raises `BudgetExhausted` if not."""
        ...

    def settle(self, hold: int, used: Usage, written: int = 0) -> None:
        """The server reported what the request used; `written` as in `Reply`."""
        ...

    def release(self, hold: int) -> None:
        """The request was certainly not billed: it did not arrive, or was refused."""
        ...

    def uncertain(self, hold: int, answered: bool = False) -> None:
        """Nobody can say whether it was billed, or it was `answered` and nobody can say for how much: it
        counts at its worst."""
        ...


class Unmetered:
    """The meter of those who do not count."""

    async def reserve(self, worst: Usage) -> int:  # noqa: ARG002
        """Always at once."""
        return 0

    def settle(self, hold: int, used: Usage, written: int = 0) -> None:
        """Nothing to do."""

    def release(self, hold: int) -> None:
        """Nothing to do."""

    def uncertain(self, hold: int, answered: bool = False) -> None:
        """Nothing to do."""


class Teacher(Protocol):
    """Answers conversations. An async context manager that holds connections, if any."""

    async def __aenter__(self) -> "Teacher": ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def complete(self, request: ChatRequest) -> Reply:
        """Continue a conversation; raises `TeacherError` and its kinds, nothing else. No earlier call of the
        conversation has the id of one of the answer's."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Model and sampling settings for the record, without any key."""
        ...
