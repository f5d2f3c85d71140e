"""A teacher that says what it is told to: the answers are given, one conversation like the next.

For tests and for measuring everything but the teacher. The n-th request of a conversation gets the
n-th message of the script, counted by the assistant messages already in it, so it is stateless and
one instance serves any number of rollouts at once.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from sera.errors import TeacherRefused
from sera.records import Message, ToolCall, Usage
from sera.teachers.contract import ChatRequest, Reply


def say(text: str, reasoning: str = "") -> Message:
    """A scripted message without a tool call."""
    return Message(role="assistant", content=text, reasoning=reasoning)


def call(tool: str, /, **arguments: object) -> Message:
    """A scripted message that calls one tool."""
    text = msgspec.json.encode(arguments).decode()
    return Message(role="assistant", tool_calls=(ToolCall(id="call_0", name=tool, arguments=text),))


class ScriptedTeacher:
    """Answers from a list; `latency` seconds each."""

    def __init__(self, script: Sequence[Message], latency: float = 0.0) -> None:
        self._script = tuple(script)
        self._latency = latency

    async def __aenter__(self) -> "ScriptedTeacher":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """Nothing but the name: a script has no sampling."""
        return {"kind": "scripted"}

    async def complete(self, request: ChatRequest) -> Reply:
        """The next message of the script; `TeacherRefused` once it is used up."""
        if self._latency:
            await asyncio.sleep(self._latency)
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn >= len(self._script):
            raise TeacherRefused(
                f"the script has {len(self._script)} messages and a further one was asked for"
            )
        message = self._script[turn]
        calls = tuple(
            msgspec.structs.replace(one, id=f"call_{turn}_{n}") for n, one in enumerate(message.tool_calls)
        )
        finish = "tool_calls" if calls else "stop"
        return Reply(
            message=msgspec.structs.replace(message, tool_calls=calls),
            finish_reason=finish,
            usage=Usage(calls=1),
        )
