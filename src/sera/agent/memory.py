"""What a rollout remembers of itself, so that it can go on after its process has died.

Every reply is remembered before its tool call runs, and what followed it afterwards. A rollout that
starts with memories repeats their tool calls in its fresh sandbox without asking the teacher, shows
the teacher the observations it saw the first time, and then checks that the tree is as it was.
"""

import time
from typing import Protocol

from sera.records import Answered, Replied
from sera.teachers.contract import Reply


class Memory(Protocol):
    """The steps of one rollout, by number from 0."""

    def reply(self, number: int) -> Replied | None:
        """The reply of a step of before, if there was one."""
        ...

    def answer(self, number: int) -> Answered | None:
        """What followed it, if that was still seen."""
        ...

    async def remember(self, half: Replied | Answered) -> None:
        """Keep half a step. When this returns, a reply, which may have been paid for, outlives a power cut,
        and what followed it the death of the process."""
        ...


class Forgetful:
    """No memory: for rollouts that are begun anew when they are interrupted."""

    def reply(self, number: int) -> None:
        """Nothing."""

    def answer(self, number: int) -> None:
        """Nothing."""

    async def remember(self, half: Replied | Answered) -> None:
        """Forget it at once."""


def replied(number: int, reply: Reply) -> Replied:
    """The reply of a step as it is remembered."""
    return Replied(
        number=number,
        message=reply.message,
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        at=round(time.time(), 3),
    )
