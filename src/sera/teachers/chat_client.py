"""The teacher behind an OpenAI-compatible chat-completions endpoint, at any base URL.

Retries have their one owner here: connection failures, timeouts, 429 and 5xx are repeated with
growing, jittered pauses, or after what `Retry-After` says. Every other refusal is final; one that
any request would meet (a wrong key, model or address) ends the run. The key comes from the
environment variable named in the settings and is kept out of every message and record.
"""

import asyncio
import os
import random
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from sera.errors import ConfigError, ContextOverflow, TeacherError, TeacherRefused, TeacherUnusable
from sera.settings import Config, Count, Seconds
from sera.teachers.chat_wire import decode_reply, encode_request
from sera.teachers.contract import ChatRequest, Reply

_RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_UNUSABLE = {
    401: "the key was not accepted: set the environment variable {key_env}",
    403: "the key may not use this model: set another in the environment variable {key_env}",
    404: "there is no such model or address: check --model and the base URL, which usually ends in /v1",
}
_OVERFLOW = (
    "context length",
    "context window",
    "maximum context",
    "context_length_exceeded",
    "too many tokens",
)
_LONGEST_PAUSE = 60.0
_KNOCK = 10.0


class ChatConfig(Config, frozen=True, tag_field="kind", tag="chat"):
    """An OpenAI-compatible endpoint."""

    base_url: str
    """Address up to and including the version, e.g. `http://localhost:8000/v1`."""
    model: str
    """Name under which the endpoint serves the model."""
    key_env: str = "SERA_API_KEY"
    """Environment variable that holds the key. If it is not set, no key is sent."""
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 0.6
    """Sampling temperature. 0.6 is the paper's."""
    max_tokens: Count = 8192
    """Longest answer in tokens, reasoning included."""
    timeout: Seconds = 600.0
    """Seconds one request may take."""
    retries: Annotated[int, msgspec.Meta(ge=0)] = 5
    """Repetitions of a request that failed for a temporary reason."""


class ChatTeacher:
    """One endpoint, any number of requests at once."""

    def __init__(self, config: ChatConfig) -> None:
        parts = urlsplit(config.base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(
                f"teacher.base_url {config.base_url!r} is no URL: write e.g. http://localhost:8000/v1"
            )
        if parts.username or parts.password:
            raise ConfigError("teacher.base_url holds a key or password: put it into an environment variable "
                              "and name that in teacher.key_env")  # fmt: skip
        self._config = config
        self._url = config.base_url.rstrip("/") + "/chat/completions"
        key = os.environ.get(config.key_env)
        self._client = httpx2.AsyncClient(
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(config.timeout, pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=False,
        )

    async def __aenter__(self) -> "ChatTeacher":
        """Knock once, so that a wrong address shows before any work is done."""
        try:
            await self._client.get(self._config.base_url.rstrip("/") + "/models", timeout=_KNOCK)
        except httpx2.TimeoutException:
            pass
        except httpx2.HTTPError as problem:
            await self._client.aclose()
            what = str(problem) or type(problem).__name__
            raise TeacherUnusable(
                f"no teacher at {self._config.base_url}: {what}. Is the server running?"
            ) from problem
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    @property
    def settings(self) -> dict[str, Any]:
        """Model and sampling; no address, since another one with the same model is the same teacher."""
        return {
            "kind": "chat",
            "model": self._config.model,
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
        }

    async def complete(self, request: ChatRequest) -> Reply:
        """One answer, after as many repetitions as the settings allow."""
        sampling = {"temperature": self._config.temperature, "max_tokens": self._config.max_tokens}
        body = msgspec.json.encode(encode_request(request, self._config.model, **sampling))
        for attempt in range(self._config.retries + 1):
            try:
                return await self._ask(body)
            except (TeacherRefused, ContextOverflow):
                raise
            except TeacherError as problem:
                if attempt == self._config.retries:
                    raise
                await asyncio.sleep(_pause(attempt, problem.retry_after))
        raise AssertionError("the loop above returns or raises")

    async def _ask(self, body: bytes) -> Reply:
        try:
            response = await self._client.post(
                self._url, content=body, headers={"content-type": "application/json"}
            )
        except httpx2.HTTPError as problem:
            what = str(problem) or type(problem).__name__
            raise TeacherError(f"{self._url}: {what}. Is the server running there?") from problem
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return decode_reply(msgspec.json.decode(response.content))
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError, ValueError) as problem:
            raise TeacherError(
                f"{self._url} answered something that is no chat completion: {problem}"
            ) from problem

    def _refusal(self, response: httpx2.Response) -> Exception:
        """The error that a status other than 200 stands for."""
        detail = " ".join(response.text[:500].split())
        what = f"{self._url} answered {response.status_code}: {detail}"
        if response.status_code in _RETRYABLE:
            error = TeacherError(what)
            error.retry_after = _seconds(response.headers.get("retry-after"))
            return error
        if cure := _UNUSABLE.get(response.status_code):
            return TeacherUnusable(f"{what} – {cure.format(key_env=self._config.key_env)}")
        if any(words in detail.lower() for words in _OVERFLOW):
            return ContextOverflow(what)
        return TeacherRefused(what)


def _seconds(header: str | None) -> float | None:
    try:
        return min(float(header), _LONGEST_PAUSE) if header else None
    except ValueError:
        return None


def _pause(attempt: int, told: float | None) -> float:
    """Seconds before the next repetition: as told, else doubling from half a second, with jitter."""
    if told is not None:
        return told
    return float(min(0.5 * 2**attempt, _LONGEST_PAUSE) * random.uniform(0.5, 1.0))
