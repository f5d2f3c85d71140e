"""What a rollout remembers of itself, so that it can go on after its process has died.

Every reply is remembered before its tool call runs, and what followed it afterwards. A rollout that
starts with memories repeats their tool calls in its fresh sandbox without asking the teacher, shows
the teacher the observations it saw the first time, and then checks that the tree is as it was.
"""

from typing import Protocol

from sera.records import Answered, Replied


class Memory(Protocol):
    """The steps of one rollout, by number from 0."""

    def reply(self, number: int) -> Replied | None:
        """The reply of a step of before, if there was one."""
        ...

    def answer(self, number: int) -> Answered | None:
        """What followed it, if that was still seen."""
        ...

    def remember(self, half: Replied | Answered) -> None:
        """Keep half a step; durable when this returns."""
        ...


class Forgetful:
    """No memory: for rollouts that are begun anew when they are interrupted."""

    def reply(self, number: int) -> None:
        """Nothing."""

    def answer(self, number: int) -> None:
        """Nothing."""

    def remember(self, half: Replied | Answered) -> None:
        """Forget it at once."""
