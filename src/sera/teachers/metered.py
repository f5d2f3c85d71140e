"""Any teacher under a meter: each request counts as one attempt. For teachers that cost nothing, so that
a limit can be tried out with them; the remote one meters its own attempts."""

import msgspec

from sera.records import Usage
from sera.teachers.around import TeacherAround
from sera.teachers.contract import ChatRequest, Meter, Reply, Teacher

_ANSWER = 8192
"""Tokens an answer is taken to have at most."""


class MeteredTeacher(TeacherAround):
    """Holds, asks, settles."""

    def __init__(self, teacher: Teacher, meter: Meter) -> None:
        super().__init__(teacher)
        self._meter = meter

    async def complete(self, request: ChatRequest) -> Reply:
        """As the teacher does; a request it did not answer, or not counted, is uncertain."""
        size = len(msgspec.json.encode((request.messages, request.tools)))
        hold = await self._meter.reserve(Usage(calls=1, prompt=size, completion=_ANSWER))
        try:
            reply = await self._teacher.complete(request)
        except BaseException:
            self._meter.uncertain(hold)
            raise
        if reply.estimated:
            self._meter.uncertain(hold, answered=True)
        else:
            self._meter.settle(hold, reply.usage, reply.written)
        return reply
