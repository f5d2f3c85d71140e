"""What a failed request means: whether to repeat it, whether it was billed, what it says of the endpoint.

    trouble        repeated  billed     endpoint                     e.g.
    unreachable    yes       no         counts as a failure          connection refused
    lost           yes       uncertain  counts as a failure          reset, hang-up, 200 that is no answer
    slow           yes       uncertain  failure, fewer at once       timeout, silence
    busy           passes    no         fewer at once                429
    down           passes    uncertain  failure, fewer at once       503, 529
    broken         yes       uncertain  counts as a failure          other 5xx, an error in a 200
    expired        yes       uncertain  –                            408
    deferred       yes       no         –                            409, 425
    overflow       no        no         –                            the words in `_OVERFLOW`
    refused        no        no         –                            other 4xx
    unusable       passes    no         out for good, if it persists 3xx, 401, 402, 403, 404, `meant` as such

A trouble that passes is waited out: as long as the patience lasts, repeating for it costs no repeat.

A failure whose answer still told its usage is billed as told.
"""

import re
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from sera.errors import ContextOverflow, TeacherError, TeacherRefused
from sera.records import Usage

LONGEST_PAUSE = 60.0
"""Seconds: the longest wait between two requests that a server may ask for."""
Told = tuple[Usage, int]
"""What a server said an answer took: usage, and the prompt tokens written to its cache."""


class Trouble(msgspec.Struct, frozen=True):
    """A row of the table above."""

    name: str
    repeated: bool = False
    """Whether the same request may succeed later."""
    passes: bool = False
    """Whether that takes nothing but time: repeating is then a matter of patience, not of a number."""
    maybe_billed: bool = False
    """Whether the server may have charged for it."""
    failure: bool = False
    """Whether the endpoint is to blame."""
    too_much: bool = False
    """Whether the endpoint has more to do than it can."""


UNREACHABLE = Trouble("unreachable", repeated=True, failure=True)
LOST = Trouble("lost", repeated=True, maybe_billed=True, failure=True)
SLOW = Trouble("slow", repeated=True, maybe_billed=True, failure=True, too_much=True)
BUSY = Trouble("busy", repeated=True, passes=True, too_much=True)
DOWN = Trouble("down", repeated=True, passes=True, maybe_billed=True, failure=True, too_much=True)
BROKEN = Trouble("broken", repeated=True, maybe_billed=True, failure=True)
EXPIRED = Trouble("expired", repeated=True, maybe_billed=True)
DEFERRED = Trouble("deferred", repeated=True)
OVERFLOW = Trouble("overflow")
REFUSED = Trouble("refused")
UNUSABLE = Trouble("unusable", repeated=True, passes=True, failure=True)


class Failure(msgspec.Struct, frozen=True):
    """One request that brought no answer."""

    trouble: Trouble
    text: str
    """Where it was sent, what came back, and the cure if there is one; without the key."""
    retry_after: float | None = None
    """Seconds the server asked us to wait."""
    told: Told | None = None
    answered: bool = False
    """Whether it came as a 200: then it may be billed, whatever the trouble."""

    @property
    def maybe_billed(self) -> bool:
        """Whether nobody can say if it was charged."""
        return self.trouble.maybe_billed or self.answered

    def error(self) -> TeacherError:
        """As the caller of a teacher is told."""
        kind = {OVERFLOW: ContextOverflow, REFUSED: TeacherRefused}.get(self.trouble, TeacherError)
        error = kind(self.text)
        error.retry_after = self.retry_after
        return error


_BY_STATUS = {
    401: UNUSABLE,
    402: UNUSABLE,
    403: UNUSABLE,
    404: UNUSABLE,
    408: EXPIRED,
    409: DEFERRED,
    425: DEFERRED,
    429: BUSY,
    503: DOWN,
    529: DOWN,
}
_BY_TYPE = {"overloaded_error": 529, "rate_limit_error": 429, "rate_limit_exceeded": 429}
_TOO_MANY_TOKENS = "too many tokens"
_OVERFLOW = (
    "context length",
    "context window",
    "context size",
    "context limit",
    "maximum model length",
    "maximum context",
    "context_length_exceeded",
    "model_context_window_exceeded",
    "exceed_context_size",
    "prompt is too long",
    "prompt exceeds max length",
    "input is too long",
    _TOO_MANY_TOKENS,
    "longer than the model's context",
    "reduce the length of the messages",
)
"""Words of vLLM, SGLang, llama.cpp, OpenRouter, z.ai, OpenAI, Azure and Anthropic."""
_OVERFLOWING = (400, 413, 422, 500)
"""What a full context is told with; 500 is older llama.cpp's."""
_THROTTLE = re.compile(r"\bwait\b|per (second|minute|hour|day)|rate.?limit|throttl")
"""Words beside `_TOO_MANY_TOKENS` that make it Bedrock's throttle, whatever status a gateway gives it."""
_NO_CREDIT = (
    "insufficient_quota",
    "insufficient balance",
    "insufficient credits",
    "credit balance is too low",
)
_NO_MODEL = (
    "invalid model name",
    "model_not_found",
    "no such model",
    "unknown model",
    "is not a valid model",
    "model not exist",
    "model does not exist",
)
"""Words of LiteLLM, OpenAI, Ollama, z.ai, OpenRouter and DeepSeek."""
_NO_KEY = (
    "api key not valid",
    "api_key_invalid",
    "invalid api key",
    "invalid_api_key",
    "incorrect api key",
    "authenticationerror",
    "authentication_error",
)
"""Words of Google, OpenAI, Anthropic, and of LiteLLM for what is behind it."""
_VAGUE = (400, 500)
"""With which some refuse a wrong name or key."""
_TOO_LARGE, _UNTOLD = 413, 500


def meant(status: int, detail: str) -> int:
    """The status that says what is the matter, where the one that came with those words does not."""
    words = detail.lower()
    if any(said in words for said in _NO_CREDIT):
        return 402
    if status in _VAGUE and any(said in words for said in _NO_MODEL):
        return 404
    if status in _VAGUE and any(said in words for said in _NO_KEY):
        return 401
    return status


def by_status(status: int, detail: str) -> Trouble:
    """What a status other than 200 stands for; `detail` is the answer's text."""
    words, status = detail.lower(), meant(status, detail)
    if _TOO_MANY_TOKENS in words and _THROTTLE.search(words):
        return BUSY
    if status == _TOO_LARGE or (status in _OVERFLOWING and any(said in words for said in _OVERFLOW)):
        return OVERFLOW
    if 300 <= status < 400:
        return UNUSABLE
    return _BY_STATUS.get(status, BROKEN if status >= 500 else REFUSED)


def in_answer(error: Any) -> Trouble:
    """What an error inside a 200 stands for: by its type or code, if one says a status, else by its words."""
    error = error if isinstance(error, dict) else {"message": str(error)}
    said = (_status(error.get("type")), _status(error.get("code")))
    return by_status(next(filter(None, said), _UNTOLD), msgspec.json.encode(error).decode())


def _status(said: object) -> int:
    """The status that a type or code of an error stands for, 0 if none."""
    name = str(said)
    status = int(name) if re.fullmatch("[45][0-9][0-9]", name) else 0
    return _BY_TYPE.get(name, status)


def seconds_to_wait(header: str | None, now: float) -> float | None:
    """`Retry-After`, in seconds or as a date, at most `LONGEST_PAUSE`; `now` in seconds since 1970."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_PAUSE) if seconds == seconds else None
