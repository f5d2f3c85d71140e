"""A teacher that is shown tools and calls as text, and answers in text.

For a student: it was trained on conversations in one of our formats, laid out by a template that knows
roles and nothing else, and must be asked with the very same text, whatever its server makes of tools. And
for a model whose own template does not know tools. The answer is read tolerantly (`tolerant`).
"""

from typing import Any

import msgspec

from sera.errors import TeacherRefused
from sera.formats import find_format
from sera.records import Message
from sera.teachers.around import TeacherAround
from sera.teachers.contract import ChatRequest, Reply, Teacher
from sera.teachers.ids import with_unique_ids
from sera.teachers.tolerant import plain_beginning, read_text


class WrittenTeacher(TeacherAround):
    """Writes requests in a format of `sera.formats`, for a teacher that takes them as plain turns."""

    def __init__(self, teacher: Teacher, style: str) -> None:
        super().__init__(teacher)
        self._style = style

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the teacher, and the format."""
        return {**self._teacher.settings, "format": self._style}

    async def complete(self, request: ChatRequest) -> Reply:
        """As the teacher does. A call within an answer that was cut off counts if it is whole."""
        turns = find_format(self._style).render(request.messages, request.tools)
        plain = tuple(Message(role=turn.role, content=turn.text) for turn in turns)
        if request.sampling.must_call:
            raise TeacherRefused(f"calls are written as text ({self._style}), so that none can be demanded")
        hear = plain_beginning(request.hear, request.tools) if request.hear else None
        asked = msgspec.structs.replace(request, messages=plain, tools=[], hear=hear)
        reply = await self._teacher.complete(asked)
        text = reply.message.content
        if reply.message.reasoning:
            text = f"<think>\n{reply.message.reasoning}\n</think>\n\n{text}"
        message = with_unique_ids(read_text(text, request.tools), request.messages)
        finish = "tool_calls" if message.tool_calls and reply.finish_reason == "stop" else reply.finish_reason
        return msgspec.structs.replace(reply, message=message, finish_reason=finish)
