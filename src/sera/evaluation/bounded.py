"""A model in a context of a given length, whatever its server would take.

The server's own count of each request decides: an answer with which the conversation is longer than allowed
is not given, as a server with that limit would have had no room for it.
"""

from typing import Any

from sera.errors import ContextOverflow
from sera.teachers import ChatRequest, Reply, Teacher


class BoundedTeacher:
    """Any teacher, which refuses conversations beyond `context` tokens with `ContextOverflow`."""

    def __init__(self, teacher: Teacher, context: int) -> None:
        self._teacher = teacher
        self._context = context

    async def __aenter__(self) -> "BoundedTeacher":
        await self._teacher.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._teacher.__aexit__(*exc)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the teacher."""
        return self._teacher.settings

    async def complete(self, request: ChatRequest) -> Reply:
        """As the teacher does."""
        reply = await self._teacher.complete(request)
        tokens = reply.usage.prompt + reply.usage.completion
        if tokens > self._context:
            raise ContextOverflow(f"the conversation has {tokens} tokens, and {self._context} are allowed")
        return reply
