"""A model in a context of a given length, whatever its server would take.

The server's own count of each request decides: an answer with which the conversation is longer than allowed
is not given, as a server with that limit would have had no room for it.
"""

from sera.errors import ContextOverflow
from sera.teachers import ChatRequest, Reply, Teacher
from sera.teachers.around import TeacherAround


class BoundedTeacher(TeacherAround):
    """Any teacher, which refuses conversations beyond `context` tokens with `ContextOverflow`."""

    def __init__(self, teacher: Teacher, context: int) -> None:
        super().__init__(teacher)
        self._context = context

    async def complete(self, request: ChatRequest) -> Reply:
        """As the teacher does."""
        reply = await self._teacher.complete(request)
        tokens = reply.usage.prompt + reply.usage.completion
        if tokens > self._context:
            raise ContextOverflow(f"the conversation has {tokens} tokens, and {self._context} are allowed")
        return reply
