"""A chat-completions server on loopback that fails on purpose, and keeps its own books.

It wraps any teacher of this process. Each request is served well, or meets one of `FAULTS`, by `seed` and
`rate`: the n-th request has the same fate in every run with the same seed. `bill` is what an honest
server would charge: every answer that it made, whether or not it arrived whole.

    async with FaultyServer(RehearsalTeacher(), seed=7, rate=0.3, price=price) as server:
        RemoteConfig(base_url=server.base_url, model=MODEL)
        ...
    server.requests, server.faults, server.bill
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from email.utils import formatdate
from time import time
from typing import Any, Protocol

import msgspec

from sera.errors import TeacherError
from sera.records import Usage
from sera.teachers.chat_wire import decode_request, encode_replies
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.prices import FREE, Price

MODEL = "rehearsal"
UNBILLED = ("429", "429-seconds", "429-date", "500", "502", "error-in-200")
AMBIGUOUS = ("reset", "hang-up", "stall", "bad-json", "408")
"""Billed, or perhaps, and the client cannot know."""
TOLD = ("no-choices", "other-model", "cut-arguments", "same-ids")
"""Billed, and the answer tells its usage."""
FAULTS = (*UNBILLED, *AMBIGUOUS, *TOLD)
_REASONS = {
    200: "OK",
    404: "Not Found",
    408: "Request Timeout",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
}

Json = dict[str, Any]


class Answers(Protocol):
    """The part of a teacher that is needed."""

    async def complete(self, request: ChatRequest) -> Reply: ...


class Bill(msgspec.Struct):
    """What an honest server charges."""

    calls: int = 0
    nano: int = 0
    """Nano-dollars, each call rounded up."""
    usage: Usage = Usage()

    @property
    def tokens(self) -> int:
        return self.usage.prompt + self.usage.completion


class FaultyServer:
    """Serves on a free port while it is entered."""

    def __init__(
        self,
        teacher: Answers,
        *,
        seed: int = 0,
        rate: float = 0.3,
        faults: Sequence[str] = FAULTS,
        price: Price = FREE,
        stall: float = 60.0,
        pause: float = 0.05,
    ) -> None:
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self.bill = Bill()
        self.in_flight = self.most_in_flight = 0
        self._teacher, self._price = teacher, price
        self._seed, self._rate, self._choice = seed, rate, tuple(faults)
        self._stall, self._pause = stall, pause
        self._visits: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "FaultyServer":
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0, limit=2**20)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    # ── a connection ──────────────────────────────────────────────────────────────────────────────

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._visits.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if head.startswith("GET "):
            return await _send(writer, 200, msgspec.json.encode({"data": [{"id": MODEL}]}))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._post(msgspec.json.decode(body), reader, writer)
        finally:
            self.in_flight -= 1

    async def _post(self, body: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.requests += 1
        dice = random.Random(f"{self._seed}/{self.requests}")
        fault = dice.choice(self._choice) if dice.random() < self._rate else ""
        if fault:
            self.faults[fault] += 1
        if fault in UNBILLED:
            return await self._refuse(fault, writer)
        if fault in ("reset", "stall", "408") and dice.random() < 0.5:
            return await self._vanish(fault, reader, writer)
        try:
            reply = await self._teacher.complete(decode_request(body))
        except TeacherError as problem:
            return await _send(writer, 500, msgspec.json.encode({"error": {"message": str(problem)}}))
        self._charge(reply.usage)
        if fault in ("reset", "stall", "408"):
            return await self._vanish(fault, reader, writer)
        whole = encode_replies([reply], body["model"], f"chatcmpl-{self.requests}", created=0)
        _spoil(whole, fault)
        if body.get("stream"):
            content, kind = b"".join(_events(whole)), "text/event-stream"
        else:
            content, kind = msgspec.json.encode(whole), "application/json"
        if fault == "bad-json":
            content = content[: len(content) // 2] + b"\x00}\n\n"
        return await _send(writer, 200, content, kind, cut=fault == "hang-up")

    def _charge(self, usage: Usage) -> None:
        self.bill.calls += 1
        self.bill.nano += self._price.cost(usage)
        self.bill.usage += usage

    async def _refuse(self, fault: str, writer: asyncio.StreamWriter) -> bool:
        error = {"error": {"message": "on purpose", "code": 502}}
        if fault == "error-in-200":
            return await _send(writer, 200, msgspec.json.encode(error))
        if fault == "502":
            return await _send(writer, 502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html")
        wait = {
            "429-seconds": f"retry-after: {self._pause}\r\n",
            "429-date": f"retry-after: {formatdate(time() + self._pause, usegmt=True)}\r\n",
        }
        return await _send(writer, int(fault[:3]), msgspec.json.encode(error), more=wait.get(fault, ""))

    async def _vanish(self, fault: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Say nothing until the client leaves, break the connection at once, or say that it took too long."""
        if fault == "408":
            return await _send(writer, 408, b"")
        if fault == "stall":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), self._stall)
        else:
            link = writer.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return False


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    content: bytes,
    kind: str = "application/json",
    more: str = "",
    cut: bool = False,
) -> bool:
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n{more}\r\n"
    writer.write(head.encode() + (content[: len(content) // 2] if cut else content))
    await writer.drain()
    return not cut


def _spoil(whole: Json, fault: str) -> None:
    """The faults that are in an answer itself."""
    choice = whole["choices"][0]
    calls = choice["message"].get("tool_calls") or ()
    if fault == "no-choices":
        whole["choices"] = []
    elif fault == "other-model":
        whole["model"] = "some-other-model"
    elif fault == "same-ids":
        for call in calls:
            call["id"] = "call_0"
    elif fault == "cut-arguments" and calls:
        function = calls[-1]["function"]
        function["arguments"] = function["arguments"][: len(function["arguments"]) // 2]
        choice["finish_reason"] = "length"


def _events(whole: Json) -> list[bytes]:
    """A whole answer as a stream: one piece for each part of the message."""
    head = {"id": whole["id"], "object": "chat.completion.chunk", "model": whole["model"]}
    chunks: list[Json] = []
    for choice in whole["choices"]:
        message = choice["message"]
        deltas = [{field: message[field]} for field in ("reasoning_content", "content") if message.get(field)]
        for index, call in enumerate(message.get("tool_calls") or ()):
            function = call["function"]
            half = len(function["arguments"]) // 2
            deltas += [
                {
                    "tool_calls": [
                        {
                            "index": index,
                            "id": call["id"],
                            "function": {"name": function["name"], "arguments": function["arguments"][:half]},
                        }
                    ]
                },
                {"tool_calls": [{"index": index, "function": {"arguments": function["arguments"][half:]}}]},
            ]
        chunks += [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    chunks.append({"choices": [], "usage": whole["usage"]})
    return [b"data: " + msgspec.json.encode(head | chunk) + b"\n\n" for chunk in chunks] + [
        b"data: [DONE]\n\n"
    ]
