"""One endpoint: its connections, its health, and the exchange of one request.

The time of a request has its one owner here: `timeout` for the whole, `silence` between the pieces of a
streamed answer, ten seconds for a connection. The bytes of an answer are bounded by `bodies`. Nothing is
repeated here; see `retries`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2

from sera.teachers.contract import Reply
from sera.teachers.remote.bodies import ASKED, beginning, pieces, whole
from sera.teachers.remote.breaker import Breaker
from sera.teachers.remote.clock import Clock
from sera.teachers.remote.config import Endpoint, RemoteConfig, split_address
from sera.teachers.remote.connections import Connections
from sera.teachers.remote.dialects import dialect
from sera.teachers.remote.failures import LOST, REFUSED, SLOW, UNREACHABLE, UNUSABLE, Failure
from sera.teachers.remote.gate import Gate
from sera.teachers.remote.keys import read_key
from sera.teachers.remote.reading import UNREADABLE, Reader
from sera.teachers.remote.sse import EventReader

_CONNECT = 10.0
_REFUSAL_BYTES = 256 << 10
"""Of a refusal that are read: the reason stands at its head, and some repeat the conversation after it."""
_TOO_LONG, _HEAD_BYTES = "Receive buffer too long", 100 << 10
"""What the client says of headers, and how many bytes of them it takes."""
_ONE_CALL = ("parallel_tool", "tool_choice")
"""How a refusal names the wish for one tool call."""
_TOLD = ("retry-after", "location")
"""Headers that say something."""
_CONNECTED = "http11.send_request_headers.started"
"""The client's word for a connection being there, just before it is written to."""
_LASTING = 60.0
"""Seconds for which an endpoint that has answered must refuse before it is given up: gateways say 404 or 401
while what is behind them restarts."""

Json = dict[str, Any]


class Line:
    """The way to one endpoint. `open` before use, `close` after."""

    def __init__(self, endpoint: Endpoint, config: RemoteConfig, clock: Clock) -> None:
        self.base_url, query = split_address(endpoint.base_url)
        self.dialect = dialect(endpoint.dialect)
        self.gate = Gate(config.in_flight)
        self.breaker = Breaker(config.trip_after)
        self.given_up = ""
        """Why no request here can succeed, if that is so."""
        self.trouble = ""
        """What went wrong last."""
        self.asks_one_call = True
        """Whether to ask here for one tool call in a reply: until it turns out that nobody knows how."""
        self._knows_one_call = False
        self._listed, self._answered = False, False
        self._refusals, self._refused_since = 0, 0.0
        self._endpoint, self._config, self._clock = endpoint, config, clock
        self._query = f"?{query}" if query else ""
        self._url = f"{self.base_url}{self.dialect.path}{self._query}"
        self._reader: Reader
        self._client: httpx2.AsyncClient

    def open(self) -> None:
        """Read the key; `ConfigError` if that cannot be done."""
        key = read_key(self._endpoint)
        self._reader = Reader(self._url, self._endpoint, key, self._config, self.dialect)
        read = self._config.silence if self._config.stream else None
        self._client = httpx2.AsyncClient(
            headers=ASKED | {"content-type": "application/json"} | self.dialect.headers(key, self._query),
            timeout=httpx2.Timeout(None, connect=_CONNECT, read=read),
            transport=Connections(),
            trust_env=False,
        )

    async def knock(self) -> str:
        """Say what is wrong if nobody is there. One that lists the model is not given up for one refusal."""
        try:
            async with asyncio.timeout(_CONNECT):
                address = f"{self.base_url}/models{self._query}"
                async with self._client.stream("GET", address) as answer:
                    listed, _ = await beginning(answer, self._config.answer_bytes)
        except (TimeoutError, httpx2.TimeoutException):
            return ""
        except httpx2.HTTPError as problem:
            self.note(Failure(UNREACHABLE, ""), 0, probe=True)
            said = self._reader.failed(UNREACHABLE, f"{_describe(problem)}. Is the server running?").text
            return f"no teacher at {said}"
        self._listed = answer.status_code == 200 and f'"{self._config.model}"'.encode() in listed
        return ""

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def usable(self, now: float) -> bool:
        """Whether a request may be sent."""
        return not self.given_up and self.breaker.allows(now)

    def note(self, outcome: Reply | Failure, entered: int, probe: bool) -> None:
        """Learn from a request: `entered` is what the gate said, `probe` what the breaker did."""
        if isinstance(outcome, Reply):
            self._answered, self._refusals = True, 0
            self.gate.well()
            self.breaker.succeed()
            return
        self.trouble = outcome.text
        if outcome.trouble.too_much:
            self.gate.too_much(entered)
        if outcome.trouble.failure:
            self.breaker.fail(self._clock.now(), probe)
        elif probe:
            self.breaker.abandon()
        if outcome.trouble is UNUSABLE or (outcome.trouble is REFUSED and not self._answered):
            self._take_refusal(outcome, probe)
        elif not outcome.trouble.passes:  # a gateway's 429 or 503 between two refusals says nothing of them
            self._refusals = 0

    def _take_refusal(self, refused: Failure, probe: bool) -> None:
        """Give it up if it refuses for good. One that has answered must refuse a probe after `_LASTING`
        still: many requests at once may meet a short trouble. One that has not may refuse a few requests for
        what is in them, and if it lists the model, all of them for a moment."""
        now = self._clock.now()
        self._refused_since = self._refused_since if self._refusals else now
        self._refusals += 1
        if self._answered:
            if probe and now - self._refused_since >= _LASTING:
                self.given_up = refused.text
        elif refused.trouble is UNUSABLE and not self._listed:
            self.given_up = refused.text
        elif self._refusals >= self._config.trip_after:
            self.given_up = f"{refused.text} – {self._refusals} refusals and not one answer"

    def may_not_know(self, outcome: Reply | Failure) -> bool:
        """Whether a request that asked for one tool call may have been refused for that: the refusal says so,
        or none that asked for it was ever answered."""
        if isinstance(outcome, Reply):
            self._knows_one_call = True
            return False
        if outcome.trouble is not REFUSED:
            return False
        return not self._knows_one_call or _names_one_call(outcome)

    def learn(self, refused: Failure, without: Reply | Failure) -> None:
        """What it said when asked for one call, and without: it is not asked again if that was the reason."""
        if _names_one_call(refused) or isinstance(without, Reply):
            self.asks_one_call = False

    async def ask(
        self,
        body: bytes,
        sent: Callable[[], None] = lambda: None,
        hear: Callable[[str], None] | None = None,
    ) -> Reply | Failure:
        """Send one request, once. `sent` is called when there is a connection, before the first byte; `hear`
        is told the pieces of a streamed answer's text."""

        async def connected(event: str, _: Json) -> None:
            if event == _CONNECTED:
                sent()

        watched = {"trace": connected}
        try:
            async with asyncio.timeout(self._config.timeout):
                if hear or self._config.stream:
                    return await self._stream(body, watched, hear)
                return await self._whole(body, watched)
        except TimeoutError:
            return self._reader.failed(SLOW, f"no whole answer within {self._config.timeout:g} s")
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as problem:
            return self._reader.failed(UNREACHABLE, f"{_describe(problem)}. Is the server running there?")
        except httpx2.ReadTimeout:
            return self._reader.failed(SLOW, f"silent for {self._config.silence:g} s")
        except httpx2.HTTPError as problem:
            return self._reader.failed(LOST, _describe(problem))

    async def _whole(self, body: bytes, watched: Json) -> Reply | Failure:
        async with self._client.stream("POST", self._url, content=body, extensions=watched) as response:
            return await self._read(response)

    async def _read(self, response: httpx2.Response) -> Reply | Failure:
        """What an unstreamed response says."""
        if response.status_code == 200:
            content, is_all = await whole(response, self._config.answer_bytes), True
        else:
            content, is_all = await beginning(response, _REFUSAL_BYTES)
        told = {name: text for name in _TOLD if (text := response.headers.get(name))}
        read = httpx2.Response(response.status_code, headers=told, content=content)
        return self._reader.response(read, self._clock.today(), is_all)

    async def _stream(
        self, body: bytes, watched: Json, hear: Callable[[str], None] | None
    ) -> Reply | Failure:
        stream, events = self.dialect.stream(), EventReader()
        stream.hear = hear
        async with self._client.stream("POST", self._url, content=body, extensions=watched) as response:
            if response.status_code != 200 or "event-stream" not in response.headers.get("content-type", ""):
                return await self._read(response)
            try:
                async for piece in pieces(response, self._config.answer_bytes):
                    for event in events.feed(piece):
                        stream.feed(event)
                for event in events.finish():
                    stream.feed(event)
                streamed = stream.body()
            except UNREADABLE as problem:
                return self._reader.failed(LOST, f"streamed something unreadable: {problem}")
        if stream.complete or events.done:
            return self._reader.body(streamed)
        if streamed.get("error"):
            return self._reader.body(streamed | {"usage": None})  # what it has told so far is not all
        return self._reader.failed(LOST, "the stream broke off")


def _names_one_call(refused: Failure) -> bool:
    return any(words in refused.text for words in _ONE_CALL)


def _describe(problem: Exception) -> str:
    said = str(problem) or type(problem).__name__
    return f"its headers are longer than {_HEAD_BYTES:,} bytes, the limit" if said == _TOO_LONG else said
