"""Answers of `server` as server-sent events, while the teacher writes them.

The response begins with the first piece of text, so that an error before it has a status of its own; a
teacher that is silent for long is waited for with comments, which clients pass over.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sera.errors import ContextOverflow, SeraError, TeacherError, TeacherRefused
from sera.teachers.chat_wire import encode_replies
from sera.teachers.contract import ChatRequest, Reply, Teacher

_PIECE = 64
"""Characters of one event, of what comes whole."""
_SILENCE = 10.0
"""Seconds after which a comment is sent."""
CLIENT_LEFT = 499

Json = dict[str, Any]


class Head(NamedTuple):
    """What all events of a stream repeat."""

    model: str
    identity: str
    with_usage: bool

    def chunk(self, choices: list[Json], usage: Json | None = None) -> bytes:
        """One event."""
        body = {"id": self.identity, "object": "chat.completion.chunk", "created": 0, "model": self.model}
        return _event(body | {"choices": choices} | ({"usage": usage} if self.with_usage else {}))

    def delta(self, delta: Json, finish: str | None = None) -> bytes:
        """One event with a piece of the message."""
        return self.chunk([{"index": 0, "delta": delta, "finish_reason": finish}])


async def until_gone(
    answering: "asyncio.Future[Any]", request: Request, seconds: float | None = None
) -> bool:
    """Wait until it is done, or for so long; False, and it is cancelled, if the client leaves before."""
    leaving = asyncio.ensure_future(_departure(request))
    waited_for = False
    try:
        await asyncio.wait({answering, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        waited_for = answering.done() or not leaving.done()
        return waited_for
    finally:
        leaving.cancel()
        if not waited_for:
            answering.cancel()


async def stream(teacher: Teacher, asked: ChatRequest, request: Request, head: Head) -> Response:
    """The answer as it comes. Raises what the teacher raises before its first word."""
    pieces: Pieces = asyncio.Queue()
    answering = asyncio.ensure_future(
        teacher.complete(msgspec.structs.replace(asked, hear=pieces.put_nowait))
    )
    answering.add_done_callback(lambda _: pieces.put_nowait(None))
    first, begun = asyncio.ensure_future(pieces.get()), False
    try:
        if not await until_gone(first, request, _SILENCE):
            return Response(status_code=CLIENT_LEFT)
        if answering.done():
            answering.result()
        begun = True
        return StreamingResponse(_events(answering, first, pieces, head), media_type="text/event-stream")
    finally:
        if not begun:
            answering.cancel()


def error_of(problem: SeraError) -> tuple[int, Json]:
    """(status, error in OpenAI's shape)"""
    too_long = isinstance(problem, ContextOverflow)
    status = 400 if too_long or isinstance(problem, TeacherRefused) else 500
    kind = "invalid_request_error" if status == 400 else "server_error"
    code = "context_length_exceeded" if too_long else None
    return status, {"message": str(problem), "type": kind, "param": None, "code": code}


Pieces = asyncio.Queue[str | None]
"""What the teacher is heard to say, and None once it has answered."""


async def _events(
    answering: "asyncio.Future[Reply]", first: "asyncio.Future[str | None]", pieces: Pieces, head: Head
) -> AsyncIterator[bytes]:
    said: list[str] = []
    try:
        yield head.delta({"role": "assistant", "content": ""})
        async for piece in _heard(first, pieces):
            said.append(piece)
            yield head.delta({"content": piece}) if piece else b": waiting\n\n"
        for chunk in _rest(answering.result(), "".join(said), head):
            yield chunk
    except SeraError as problem:
        yield _event({"error": error_of(problem)[1]})
    finally:
        answering.cancel()
    yield b"data: [DONE]\n\n"


async def _heard(first: "asyncio.Future[str | None]", pieces: Pieces) -> AsyncIterator[str]:
    """What is said, and "" where nothing has been for a while."""
    coming = first
    try:
        while True:
            if not (await asyncio.wait({coming}, timeout=_SILENCE))[0]:
                yield ""
            elif (piece := coming.result()) is None:
                return
            else:
                yield piece
                coming = asyncio.ensure_future(pieces.get())
    finally:
        coming.cancel()


def _rest(reply: Reply, said: str, head: Head) -> Iterator[bytes]:
    """What was not said yet. Raises `TeacherError` if it does not go on from there."""
    whole = encode_replies([reply], head.model, head.identity, created=0)
    choice = whole["choices"][0]
    content, told = choice["message"].get("content") or "", said.strip()
    if not content.strip().startswith(told):
        raise TeacherError("the answer was begun again after a part of it had been sent: ask again")
    rest = content[len(said) :] if content.startswith(said) else content.strip()[len(told) :]
    for delta in _deltas(choice["message"] | {"content": rest}):
        yield head.delta(delta)
    yield head.delta({}, choice["finish_reason"])
    if head.with_usage:
        yield head.chunk([], whole["usage"])


def _deltas(message: Json) -> Iterator[Json]:
    for field in ("reasoning_content", "content"):
        for piece in _pieces(message.get(field) or ""):
            yield {field: piece}
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        opening = {"index": index, "id": call["id"], "type": "function"}
        yield {"tool_calls": [opening | {"function": {"name": function["name"], "arguments": ""}}]}
        for piece in _pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _event(body: Json) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
