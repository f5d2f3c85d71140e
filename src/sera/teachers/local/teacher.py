"""One model on this machine, as a teacher.

A GGUF is run by llama.cpp, a folder of weights by transformers. Whatever form its tool calls have, they
are read tolerantly (`teachers/tolerant.py`); what had to be overlooked is recorded with each call.
"""

from contextlib import AsyncExitStack
from typing import Any

import msgspec

from sera.models import find_weights
from sera.models.weights import Kind
from sera.teachers.contract import ChatRequest, Reply, Teacher
from sera.teachers.ids import with_unique_ids
from sera.teachers.local.config import LocalConfig
from sera.teachers.local.llama import llama_teacher
from sera.teachers.tolerant import plain_beginning, with_calls


class LocalTeacher:
    """Weights of this machine. They are loaded on entering and given back on leaving."""

    def __init__(self, config: LocalConfig) -> None:
        self._config = config
        self._weights = find_weights(config.model)
        self._engine: Teacher | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "LocalTeacher":
        """Load the weights; raises `ModelError` if that fails."""
        async with AsyncExitStack() as opening:
            self._engine = await opening.enter_async_context(self._engine_of())
            self._open = opening.pop_all()
        return self

    def _engine_of(self) -> Any:
        match self._weights.kind:
            case Kind.GGUF:
                return llama_teacher(self._weights, self._config)
            case Kind.FOLDER:
                from sera.teachers.local.transformers import transformers_teacher

                return transformers_teacher(self._weights, self._config)

    async def __aexit__(self, *exc: object) -> None:
        self._engine = None
        await self._open.aclose()

    @property
    def settings(self) -> dict[str, Any]:
        """Model and sampling; not where the weights are."""
        return {
            "kind": "local",
            "model": self._weights.name,
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
        }

    async def complete(self, request: ChatRequest) -> Reply:
        """One answer. An answer that was cut off holds no call that its server did not see in it."""
        assert self._engine, "the teacher is not open"
        if request.hear:
            heard = plain_beginning(request.hear, request.tools)
            request = msgspec.structs.replace(request, hear=heard)
        reply = await self._engine.complete(request)
        message = with_calls(reply.message, request.tools)
        if message is reply.message:
            return reply
        message = with_unique_ids(message, request.messages)
        finish = reply.finish_reason if reply.finish_reason == "length" else "tool_calls"
        return msgspec.structs.replace(
            reply, message=message, finish_reason=finish if message.tool_calls else reply.finish_reason
        )
