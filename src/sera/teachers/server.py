"""Any teacher over HTTP: an OpenAI-compatible endpoint on loopback.

    POST /v1/chat/completions    whole, or as server-sent events with `"stream": true`
    GET  /v1/models              one model
    GET  /health                 200 once it answers

Errors have OpenAI's shape: 400 for a malformed body and for what the teacher refuses, 404 and 405 for a
wrong address or method, 408 and 413 for a body that is too slow or too large, 500 for the teacher's own
failures. A client that leaves cancels its request. There is no key and no encryption, so do not bind it to
anything but loopback on a machine that others can reach.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sera.errors import TeacherError, TeacherRefused, UsageError, boundary
from sera.records import content_id
from sera.teachers.chat_wire import decode_request, encode_reply
from sera.teachers.contract import ChatRequest, Reply, Teacher
from sera.untrusted import decode

_PIECE = 64
"""Characters of one event of a stream."""
_CLIENT_LEFT = 499
_MOST_BYTES, _SECONDS = 64 << 20, 60.0
"""Of the body of a request, which is a conversation: a million tokens are some 5 MB; and for it to come."""
_GRACE = 1
"""Seconds that open connections are given at shutdown."""
_CLOSE = {"connection": "close"}

Json = dict[str, Any]


def make_app(teacher: Teacher, model: str) -> Starlette:
    """The endpoint as an ASGI application; `teacher` is open for as long as it serves."""

    async def completions(request: Request) -> Response:
        body = _read_body(await _received(request))
        reply = await _answer(teacher, _read_request(body), request)
        if reply is None:
            return Response(status_code=_CLIENT_LEFT)
        name = str(body.get("model") or model)
        whole = encode_reply(reply, name, f"chatcmpl-{content_id(body)}", created=0)
        if not body.get("stream"):
            return JSONResponse(whole)
        options = body.get("stream_options")
        with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return StreamingResponse(_events(whole, with_usage), media_type="text/event-stream")

    async def models(_: Request) -> Response:
        return JSONResponse(
            {"object": "list", "data": [{"id": model, "object": "model", "owned_by": "sera"}]}
        )

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    routes = [
        Route("/v1/chat/completions", completions, methods=["POST"]),
        Route("/v1/models", models),
        Route("/health", health),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _explain, TeacherError: _fail})


def serve(teacher: Teacher, model: str, host: str = "127.0.0.1", port: int = 0) -> None:
    """Open the teacher and serve it until SIGINT or SIGTERM. Prints the base URL first; port 0 takes a free
    one.

    Raises `UsageError` if the address cannot be bound, and what opening the teacher raises.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener, boundary(UsageError, f"cannot listen on {host} port {port}"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # before the address is told: whoever reads it may connect at once
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(teacher, model, host, listener))


async def _serve(teacher: Teacher, model: str, host: str, listener: socket.socket) -> None:
    async with teacher:
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listener.getsockname()[1]}/v1", flush=True)
        settings = uvicorn.Config(
            make_app(teacher, model),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_GRACE,
            lifespan="off",
        )
        await uvicorn.Server(settings).serve(sockets=[listener])


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


async def _received(request: Request) -> bytes:
    """The body, within its bounds. The connection of one that is not read to its end is closed."""
    body = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise HTTPException(413, f"the body is longer than {_MOST_BYTES:,} bytes", _CLOSE)
    except ClientDisconnect:
        raise HTTPException(_CLIENT_LEFT, "the client left", _CLOSE) from None
    except TimeoutError:
        raise HTTPException(408, f"the body did not come within {_SECONDS:g} seconds", _CLOSE) from None
    return bytes(body)


def _read_body(raw: bytes) -> Json:
    try:
        body: Json = decode(raw, Json)
        return body
    except msgspec.DecodeError as problem:
        raise HTTPException(400, f"the body is not a JSON object: {problem}") from problem


def _read_request(body: Json) -> ChatRequest:
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise HTTPException(400, "messages must be a list of at least one message")
    try:
        return decode_request(body)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise HTTPException(
            400, f"the request cannot be read: {type(problem).__name__}: {problem}"
        ) from problem


async def _answer(teacher: Teacher, asked: ChatRequest, request: Request) -> Reply | None:
    """The teacher's reply, or None if the client leaves before it comes."""
    answering = asyncio.ensure_future(teacher.complete(asked))
    leaving = asyncio.ensure_future(_departure(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else None
    finally:
        answering.cancel()
        leaving.cancel()


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


# ── writing ───────────────────────────────────────────────────────────────────────────────────────


async def _explain(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return _error(problem.status_code, "invalid_request_error", problem.detail, problem.headers)


async def _fail(_: Request, problem: Exception) -> Response:
    if isinstance(problem, TeacherRefused):
        return _error(400, "invalid_request_error", str(problem))
    return _error(500, "server_error", str(problem))


def _error(status: int, kind: str, text: str, headers: Mapping[str, str] | None = None) -> Response:
    error = {"message": text, "type": kind, "param": None, "code": None}
    return JSONResponse({"error": error}, status, headers)


async def _events(whole: Json, with_usage: bool) -> AsyncIterator[bytes]:
    for chunk in _chunks(whole, with_usage):
        yield b"data: " + msgspec.json.encode(chunk) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _chunks(whole: Json, with_usage: bool) -> Iterator[Json]:
    """A whole answer as the chunks of a stream."""
    head = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    if with_usage:
        head["usage"] = None
    choice = whole["choices"][0]
    for delta in _deltas(choice["message"]):
        yield head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    if with_usage:
        yield head | {"choices": [], "usage": whole["usage"]}


def _deltas(message: Json) -> Iterator[Json]:
    yield {"role": "assistant", "content": ""}
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
