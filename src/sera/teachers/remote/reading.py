"""From what an endpoint sent to a reply or a failure. Every text that goes into a failure has lost its
key here."""

import re
from typing import Any
from urllib.parse import urljoin

import httpx2
import msgspec

from sera.redaction.addresses import shown
from sera.teachers.contract import Reply
from sera.teachers.remote.config import Endpoint, RemoteConfig
from sera.teachers.remote.dialects import Dialect
from sera.teachers.remote.failures import (
    BROKEN,
    LOST,
    UNUSABLE,
    Failure,
    Told,
    Trouble,
    by_status,
    in_answer,
    meant,
    seconds_to_wait,
)
from sera.teachers.remote.keys import Key
from sera.untrusted import decode

UNREADABLE = (
    LookupError, TypeError, ValueError, AttributeError, RecursionError, msgspec.DecodeError,
)  # fmt: skip
"""What reading something that a server made up may raise."""
_SHOWN = 500
"""Characters of an answer that an error message shows."""
_READ = 2000
"""Characters of a refusal in which the reason is looked for; some repeat the conversation after it."""
_VERSION = re.compile(r"([-@_.](\d{3,}[\d-]*|preview|fp8|bf16|int[48]|awq|gptq|q\d\w*|gguf))*")
_CURES = {
    401: "the key was not accepted: set {key}",
    402: "the account has no credit left",
    403: "the key may not use this model: set another in {key}",
    404: "there is no such model or address: check --model and the base URL, which usually ends in /v1",
}

Json = dict[str, Any]


class Reader:
    """Reads the answers of one endpoint."""

    def __init__(
        self, url: str, endpoint: Endpoint, key: Key, config: RemoteConfig, dialect: Dialect
    ) -> None:
        self._url, self._endpoint, self._key, self._dialect = url, endpoint, key, dialect
        self._shown_url = shown(url)
        self._asked = config.model
        self._names = {_plain(name) for name in (config.model, *config.served_as)}

    def response(self, response: httpx2.Response, today: float, is_all: bool = True) -> Reply | Failure:
        """What an unstreamed response says, of which all was read, or with `is_all` unset the beginning;
        `today` in seconds since 1970."""
        if response.status_code != 200:
            return self._refusal(response, today, is_all)
        try:
            body = decode(response.content, Json)
        except msgspec.DecodeError as problem:
            return self.failed(LOST, f"answered something that is not JSON: {problem}")
        return self.body(body)

    def body(self, body: Json) -> Reply | Failure:
        """What a 200 says: an answer, an error in its place, or nonsense."""
        told: Told | None = None
        try:
            told = self._dialect.usage(body.get("usage"))
            if error := _error_in(body):
                text = f"answered with an error: {_text(error)}"
                return self.failed(in_answer(error), text, told=told, answered=True)
            if not self._same_model(body.get("model")):
                return self.failed(BROKEN, self._foreign(body["model"]), told=told)
            return self._dialect.reply(body)
        except UNREADABLE as problem:
            text = f"answered something that is no completion: {type(problem).__name__}: {problem}"
            return self.failed(LOST, text, told=told)

    def failed(
        self,
        trouble: Trouble,
        text: str,
        *,
        told: Told | None = None,
        answered: bool = False,
        retry_after: float | None = None,
    ) -> Failure:
        """A failure at this endpoint, in words that anybody may read."""
        said = " ".join(self._key.redact(text).split())[:_SHOWN]
        return Failure(
            trouble, f"{self._shown_url}: {said}", retry_after=retry_after, told=told, answered=answered
        )

    def _refusal(self, response: httpx2.Response, today: float, is_all: bool) -> Failure:
        said = self._key.redact(response.content.decode("utf-8", "replace"), is_all)[:_READ]
        status = response.status_code
        trouble = by_status(status, said)
        text = f"answered {status}: {' '.join(said.split())[: _SHOWN // 2]}"
        if trouble is UNUSABLE:
            text += f" – {self._cure(response, meant(status, said))}"
        wait = seconds_to_wait(response.headers.get("retry-after"), today)
        return self.failed(trouble, text, retry_after=wait)

    def _cure(self, response: httpx2.Response, status: int) -> str:
        """What to do about an endpoint that cannot be used as it is; `status` as it is `meant`."""
        if response.is_redirect:
            return f"it has moved: give its new address as base URL{self._new_address(response)}"
        file, variable = self._endpoint.key_file, self._endpoint.key_env
        key = f"the file {file}" if file else f"the environment variable {variable}"
        return _CURES[status].format(key=key)

    def _new_address(self, response: httpx2.Response) -> str:
        """The base URL that a redirect names, without what may be secret in it; nothing if it names none."""
        try:
            there = urljoin(self._url, self._key.redact(response.headers["location"])).partition("?")[0]
        except (KeyError, ValueError):
            return ""
        return "" if "@" in there else f", {shown(there).removesuffix(self._dialect.path)}"

    def _same_model(self, name: object) -> bool:
        """Whether an answer under that name is the model's: versions and providers may be added."""
        if not name or not isinstance(name, str) or "*" in self._names:
            return True
        return any(_versions(_plain(name), known) for known in self._names)

    def _foreign(self, name: object) -> str:
        return (
            f"answered as model {name!r} when asked for {self._asked!r}. If that is the same model, "
            f"add the name to teacher.served_as"
        )


def _error_in(body: Json) -> object:
    """The error of an answer, beside or inside its choices."""
    if body.get("error") or body.get("type") == "error":
        return body.get("error") or body
    choices = body.get("choices") or [{}]
    return choices[0].get("error")


def _text(error: object) -> str:
    return msgspec.json.encode(error).decode()


def _plain(name: str) -> str:
    """A model's name without its provider, variant and `-latest`."""
    return name.lower().rpartition("/")[2].partition(":")[0].removesuffix("-latest")


def _versions(one: str, other: str) -> bool:
    """Whether two names differ at most in a date, a number of a build or a way of packing the weights."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and _VERSION.fullmatch(long, len(short)) is not None
