"""The teacher behind one endpoint or several: encodes a request, has it answered, reads nothing twice.

Who owns what: repeats and hedging `retries`, the time of a request `endpoint`, how many at once `gate`,
rest for the failing `breaker`, the choice of an endpoint `routing`, what a failure means `failures`,
money whoever gave the meter. See `docs/teachers.md`.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from sera.errors import TeacherRefused, TeacherUnusable, boundary
from sera.records import Message, Usage
from sera.teachers.contract import ChatRequest, Meter, Reply, Unmetered
from sera.teachers.ids import with_unique_ids
from sera.teachers.remote.clock import Clock
from sera.teachers.remote.config import RemoteConfig
from sera.teachers.remote.dialects import ONE_CALL
from sera.teachers.remote.endpoint import Line
from sera.teachers.remote.retries import Asked, Retries
from sera.teachers.remote.routing import Router
from sera.teachers.remote.waits import Waits

_TEMPLATE, _PER_MESSAGE = 1024, 16
"""Tokens that a chat template adds at most to what the body holds: once, and for each message."""
_BYTES_PER_TOKEN = 3
"""For a guess on the high side; text and code have about four."""


class RemoteTeacher:
    """One model, any number of requests at once."""

    def __init__(
        self,
        config: RemoteConfig,
        meter: Meter | None = None,
        clock: Clock | None = None,
        waits: Waits | None = None,
    ) -> None:
        clock, waits = clock or Clock(), waits or Waits()
        self._config = config
        self._lines = [Line(endpoint, config, clock) for endpoint in config.addresses]
        self._dialects = {line.dialect.path: line.dialect for line in self._lines}
        router = Router(self._lines, config.patience, clock, waits)
        self._retries = Retries(router, meter or Unmetered(), config, clock, waits)
        self._waits = waits
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "RemoteTeacher":
        """Knock at each endpoint, so that a wrong address shows before any work is done."""
        async with AsyncExitStack() as opening:
            for line in self._lines:
                line.open()
                opening.push_async_callback(line.close)
            async with self._waits.wait():
                problems = await asyncio.gather(*(line.knock() for line in self._lines))
            if all(problems):
                raise TeacherUnusable("; ".join(problems))
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    @property
    def settings(self) -> dict[str, Any]:
        """Model and sampling; no address, since another one with the same model is the same teacher."""
        sampling = {"temperature": self._config.temperature, "max_tokens": self._config.max_tokens}
        return {"kind": "chat", "model": self._config.model} | {
            name: value for name, value in sampling.items() if name not in self._config.omit
        }

    async def complete(self, request: ChatRequest) -> Reply:
        """One answer, after as many repetitions as the settings allow."""
        with boundary(
            TeacherRefused, "the conversation cannot be encoded", UnicodeEncodeError, RecursionError
        ):
            asked = self._encode(request)
        reply = await self._retries.answer(asked)
        if reply.estimated:
            reply = msgspec.structs.replace(reply, usage=_guess(asked, reply.message))
        return msgspec.structs.replace(reply, message=with_unique_ids(reply.message, request.messages))

    def _encode(self, request: ChatRequest) -> Asked:
        def plain(path: str) -> bytes:
            config = msgspec.structs.replace(self._config, omit=(*self._config.omit, ONE_CALL))
            return msgspec.json.encode(self._dialects[path].body(request, config))

        bodies = {
            path: msgspec.json.encode(dialect.body(request, self._config))
            for path, dialect in self._dialects.items()
        }
        wishes = request.tools and ONE_CALL not in self._config.omit
        prompt = worst_prompt(max(map(len, bodies.values())), len(request.messages))
        answer = request.sampling.max_tokens or self._config.max_tokens
        worst = Usage(calls=1, prompt=prompt, completion=answer)
        return Asked(bodies, plain if wishes else None, worst, request.hear)


def worst_prompt(size: int, messages: int) -> int:
    """Prompt tokens that a body of `size` bytes cannot exceed.

    A token of a byte-level vocabulary covers at least one byte, and the body holds all text in UTF-8 with
    quotes and escapes on top. What it does not hold are the template's own words, e.g. how to call a tool.
    """
    return size + _TEMPLATE + _PER_MESSAGE * messages


def _guess(asked: Asked, message: Message) -> Usage:
    """Tokens of a call whose server did not count them."""
    answer = msgspec.json.encode(message)
    return Usage(
        calls=1,
        prompt=-(-max(map(len, asked.bodies.values())) // _BYTES_PER_TOKEN),
        completion=-(-len(answer) // _BYTES_PER_TOKEN),
    )
