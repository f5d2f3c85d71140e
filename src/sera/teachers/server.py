"""Any teacher over HTTP: an OpenAI-compatible endpoint on loopback.

    POST /v1/chat/completions    whole, or as server-sent events with `"stream": true`
    GET  /v1/models              one model, and /v1/models/NAME
    GET  /health                 200 once it answers

A stream brings text while the teacher writes it, if the teacher can be heard (`ChatRequest.hear`): up to
where a tool call may begin, which comes whole, as reasoning does. Fields that would change the answer and
that no teacher can do are refused.

Errors have OpenAI's shape: 400 for a malformed body, for what the teacher refuses and for a conversation that
is too long, 404 and 405 for a wrong address or method, 408 and 413 for a body that is too slow or too large,
500 for failures on this side. In a stream that has begun an error is its last event. A client that leaves
cancels its request. There is no key and no encryption, so do not bind it to anything but loopback on a
machine that others can reach.
"""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sera.errors import SeraError, UsageError, boundary
from sera.records import content_id
from sera.teachers.chat_wire import decode_request, encode_replies
from sera.teachers.contract import ChatRequest, Reply, Teacher
from sera.teachers.streaming import CLIENT_LEFT, Head, error_of, stream, until_gone
from sera.untrusted import decode

_ANSWERS = 16
"""To one request, at most."""
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
        asked, number = _read_request(body)
        name, identity = str(body.get("model") or model), f"chatcmpl-{content_id(body)}"
        if body.get("stream"):
            options = body.get("stream_options")
            with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
            return await stream(teacher, asked, request, Head(name, identity, with_usage))
        answers = asyncio.ensure_future(_answers(teacher, asked, number))
        if not await until_gone(answers, request):
            return Response(status_code=CLIENT_LEFT)
        return JSONResponse(encode_replies(answers.result(), name, identity, created=0))

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [card]})

    async def one_model(request: Request) -> Response:
        if request.path_params["name"] != model:
            raise HTTPException(
                404, f"there is no model {request.path_params['name']!r:.100}, only {model!r}"
            )
        return JSONResponse(card)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    card = {"id": model, "object": "model", "created": 0, "owned_by": "sera"}
    routes = [
        Route("/v1/chat/completions", completions, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", one_model),
        Route("/health", health),
    ]
    return Starlette(
        routes=routes, exception_handlers={HTTPException: _explain, SeraError: _fail, Exception: _crash}
    )


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
        raise HTTPException(CLIENT_LEFT, "the client left", _CLOSE) from None
    except TimeoutError:
        raise HTTPException(408, f"the body did not come within {_SECONDS:g} seconds", _CLOSE) from None
    return bytes(body)


def _read_body(raw: bytes) -> Json:
    try:
        body: Json = decode(raw, Json)
        return body
    except msgspec.DecodeError as problem:
        raise HTTPException(400, f"the body is not a JSON object: {problem}") from problem


def _read_request(body: Json) -> tuple[ChatRequest, int]:
    """(the request, how many answers it asks for)"""
    number = 1 if (told := body.get("n")) is None else told
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _ANSWERS:
        raise HTTPException(400, f"n: a whole number from 1 to {_ANSWERS}")
    if not isinstance(body.get("stream") or False, bool):
        raise HTTPException(400, "stream: true or false")
    if number > 1 and body.get("stream"):
        raise HTTPException(400, "n: one answer to a stream")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise HTTPException(400, "messages must be a list of at least one message")
    try:
        return decode_request(body), number
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise HTTPException(
            400, f"the request cannot be read: {type(problem).__name__}: {problem}"
        ) from problem


# ── writing ───────────────────────────────────────────────────────────────────────────────────────


async def _answers(teacher: Teacher, asked: ChatRequest, number: int) -> list[Reply]:
    """Answers to one request, each by a seed of its own. Where one fails the others are broken off."""
    every = [
        asyncio.ensure_future(teacher.complete(msgspec.structs.replace(asked, seed=asked.seed ^ n)))
        for n in range(number)
    ]
    try:
        return await asyncio.gather(*every)
    finally:
        for one in every:
            one.cancel()


async def _explain(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return _error(problem.status_code, "invalid_request_error", problem.detail, problem.headers)


async def _fail(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, SeraError)
    status, error = error_of(problem)
    return JSONResponse({"error": error}, status)


async def _crash(_: Request, problem: Exception) -> Response:
    """The traceback goes to stderr."""
    return _error(500, "server_error", f"a fault of the server: {type(problem).__name__}")


def _error(status: int, kind: str, text: str, headers: Mapping[str, str] | None = None) -> Response:
    error = {"message": text, "type": kind, "param": None, "code": None}
    return JSONResponse({"error": error}, status, headers)
