"""Faults on demand: slowness, failures, silence and nonsense, by rate and seed.

Nonsense (*babble*) is content, so it depends on the request and the configuration alone. Failures and
stalls must pass when the request is repeated, so they also depend on how often this instance has
already failed it: the only thing a rehearsal teacher remembers.
"""

import asyncio
import math

import msgspec

from sera.errors import TeacherError
from sera.records import Message, ToolCall
from sera.teachers.rehearsal.config import RehearsalConfig
from sera.teachers.rehearsal.dice import Dice
from sera.teachers.rehearsal.voice import say

_LONGEST = 5.0


class Faults:
    """The faults of one teacher instance."""

    def __init__(self, config: RehearsalConfig) -> None:
        self._config = config
        self._failed: dict[str, int] = {}

    async def suffer(self, dice: Dice) -> None:
        """Take the time, or fail, or never return, as the dice of this request have it."""
        config = self._config
        if config.latency:
            await asyncio.sleep(latency(dice, config.latency))
        attempt = self._failed.get(dice.key, 0)
        fails = dice.chance(config.fail_rate, "fail", attempt)
        stalls = not fails and dice.chance(config.stall_rate, "stall", attempt)
        if not fails and not stalls:
            self._failed.pop(dice.key, None)
            return
        self._failed[dice.key] = attempt + 1
        if stalls:
            await asyncio.Event().wait()
        raise TeacherError(f"the rehearsal teacher fails on purpose (teacher.fail_rate={config.fail_rate:g})")


def latency(dice: Dice, mean: float) -> float:
    """Seconds before an answer."""
    return mean * min(_LONGEST, -math.log(1.0 - dice.unit("latency")))


def babble(dice: Dice, message: Message) -> tuple[Message, str]:
    """A malformed version of `message`, and its finish reason."""
    if not message.tool_calls:
        half = message.content[: len(message.content) // 2].replace("<output>", "")
        return msgspec.structs.replace(message, content=half), "length"
    call = message.tool_calls[0]
    replace = msgspec.structs.replace
    match dice.pick(("text", "json", "tool", "two", "missing", "cut"), "babble"):
        case "text":
            return replace(message, content=say(dice, "malformed.text"), tool_calls=()), "stop"
        case "json":
            calls: tuple[ToolCall, ...] = (
                replace(call, arguments=call.arguments.replace('"', "'")[:-1] + ",}"),
            )
        case "tool":
            calls = (replace(call, name=f"run_{call.name}"),)
        case "two":
            calls = (call, replace(call, id=f"{call.id}b"))
        case "missing":
            calls = (replace(call, arguments='{"path": "."}' if call.name != "bash" else "{}"),)
        case _:
            return replace(
                message, tool_calls=(replace(call, arguments=call.arguments[:-1] or "{"),)
            ), "length"
    return replace(message, tool_calls=calls), "tool_calls"
