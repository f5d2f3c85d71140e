"""Raw exchanges with an endpoint: what came back, however wrong, and never an exception for it.

One request has `timeout` seconds, which has its one owner here; its answer is bounded as `bodies` does it.
Nothing is repeated.
"""

import asyncio
import time
from typing import Any

import httpx2
import msgspec

from sera.teachers.remote.bodies import ASKED, MOST_BYTES, whole
from sera.teachers.remote.config import Endpoint, split_address
from sera.teachers.remote.dialects import dialect
from sera.teachers.remote.keys import Key, read_key
from sera.teachers.remote.sse import EventReader
from sera.untrusted import decode

Json = dict[str, Any]
_SHOWN = 300
_CONNECT = 10.0


def part(node: Json, name: str) -> Json:
    """The object of that name in `node`, empty if there is none."""
    found = node.get(name)
    return found if isinstance(found, dict) else {}


def parts(node: Json, name: str) -> list[Json]:
    """The objects in the list of that name, none if there is no list."""
    found = node.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int = 0
    """0: nothing came."""
    body: Json = {}
    """The JSON object, empty if it was none."""
    text: str = ""
    """The beginning of what came, or why nothing did."""
    seconds: float = 0.0
    late: bool = False
    """Whether it is that nothing came in time: somebody is there, but slow."""
    html: bool = False
    events: tuple[Json, ...] = ()
    """Of a stream."""

    @property
    def ok(self) -> bool:
        """Whether it is a 200 with a JSON object, or a stream of them."""
        return self.status == 200 and bool(self.body or self.events)

    @property
    def message(self) -> Json:
        """The assistant's message, empty if there is none."""
        choices = parts(self.body, "choices")
        return part(choices[0], "message") if choices else {}

    @property
    def content(self) -> str:
        """Its text."""
        content = self.message.get("content")
        return content if isinstance(content, str) else ""

    @property
    def calls(self) -> list[Json]:
        """Its structured tool calls."""
        return parts(self.message, "tool_calls")


class Probe:
    """The way to one endpoint. An async context manager."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self.base_url, query = split_address(endpoint.base_url)
        self.key: Key = read_key(endpoint)
        self.key_name = str(endpoint.key_file or endpoint.key_env)
        """Where the key is looked for."""
        self._query = f"?{query}" if query else ""
        self._timeout = timeout
        self._client: httpx2.AsyncClient

    async def __aenter__(self) -> "Probe":
        self._client = httpx2.AsyncClient(
            headers=ASKED | dialect("chat").headers(self.key, self._query),
            timeout=httpx2.Timeout(None, connect=_CONNECT),
            limits=httpx2.Limits(max_connections=None),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> Answer:
        """Read an address below the base URL."""
        return await self._ask("GET", f"{self.base_url}{path}", None)

    async def get_beside(self, path: str) -> Answer:
        """Read an address beside the protocol's, which begins with its version."""
        return await self._ask("GET", f"{self.base_url.removesuffix('/v1')}{path}", None)

    async def chat(self, body: Json) -> Answer:
        """Ask for a completion; with `stream` set, the events are collected."""
        return await self._ask("POST", f"{self.base_url}/chat/completions", body)

    async def _ask(self, method: str, url: str, body: Json | None) -> Answer:
        started = time.monotonic()
        request = self._client.build_request(method, f"{url}{self._query}", json=body)
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.send(request, stream=True)
                try:
                    content = await whole(response, MOST_BYTES)
                finally:
                    await response.aclose()
        except TimeoutError:
            return Answer(text=f"no answer within {self._timeout:g} s", seconds=self._timeout, late=True)
        except httpx2.HTTPError as failure:
            return Answer(text=self.key.redact(str(failure)) or type(failure).__name__)
        return self._read(response, content, time.monotonic() - started)

    def _read(self, response: httpx2.Response, content: bytes, seconds: float) -> Answer:
        text = self.key.redact(content.decode("utf-8", "replace"))
        kind = response.headers.get("content-type", "")
        answer = Answer(
            status=response.status_code,
            text=" ".join(text[:_SHOWN].split()),
            seconds=seconds,
            html="html" in kind or text.lstrip()[:15].lower().startswith(("<!doctype", "<html")),
        )
        try:
            if "event-stream" in kind:
                reader = EventReader()
                events = (*reader.feed(text.encode()), *reader.finish())
                return msgspec.structs.replace(answer, events=events)
            return msgspec.structs.replace(answer, body=decode(text, Json))
        except msgspec.DecodeError:
            return answer
