"""The settings of a remote teacher: one model behind one endpoint or several."""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

import httpx2
import msgspec

from sera.errors import ConfigError
from sera.redaction.addresses import looks_secret, shown
from sera.settings import Config, Count, Seconds
from sera.teachers.prices import Price, listed_price
from sera.teachers.remote.bodies import MOST_BYTES

DialectName = Literal["chat", "anthropic"]
_HARMLESS = {"api-version"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY_LIKE = 16
"""Letters and digits in a row, mixed and not all capitals, from which on a name is taken for a key."""


class Endpoint(Config, frozen=True):
    """One address that serves the model."""

    base_url: str
    """Address up to and including the version, e.g. `http://localhost:8000/v1`. Azure: up to the deployment,
    with `?api-version=…`."""
    dialect: DialectName = "chat"
    """Protocol: `chat` (OpenAI's chat completions, which nearly all servers speak) or `anthropic`
    (Messages)."""
    key_env: str = "SERA_API_KEY"
    """Environment variable that holds the key. If it is not set, no key is sent."""
    key_file: Path | None = None
    """File that holds the key and nothing else; read instead of the variable."""

    def __post_init__(self) -> None:
        _check_variable(self.key_env)


class RemoteConfig(Config, frozen=True, tag_field="kind", tag="chat"):
    """A model behind one endpoint (`base_url`) or several (`endpoints`)."""

    model: str
    """Name under which every endpoint serves the model."""
    base_url: str = ""
    """Address of the only endpoint, up to and including the version, e.g. `http://localhost:8000/v1`."""
    dialect: DialectName = "chat"
    """Protocol of `base_url`: `chat` (OpenAI's chat completions) or `anthropic` (Messages)."""
    key_env: str = "SERA_API_KEY"
    """Environment variable that holds the key for `base_url`. If it is not set, no key is sent."""
    key_file: Path | None = None
    """File that holds the key for `base_url` and nothing else; read instead of the variable."""
    endpoints: tuple[Endpoint, ...] = ()
    """Endpoints to share the work, each a table like those of `base_url`. Instead of `base_url`."""
    served_as: tuple[str, ...] = ()
    """Further names by which an answer may say who wrote it. An answer that names another model is refused,
    so that no other model's work gets into the data; `*` takes any."""
    format: Literal["", "hermes", "xml"] = ""
    """How tools and calls are written into the text: as in a dataset of that format, for a student trained on
    one, served with the template it was trained with. Empty: tools are sent as the protocol has it."""

    temperature: Annotated[float, msgspec.Meta(ge=0)] = 0.6
    """Sampling temperature. 0.6 is the paper's."""
    max_tokens: Count = 8192
    """Longest answer in tokens, reasoning included. Part of the worst-case price that is reserved."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Name under which the server takes that limit; OpenAI's reasoning models want the second."""
    omit: tuple[Literal["seed", "temperature", "parallel_tool_calls"], ...] = ()
    """Fields of a request that are left out because the server refuses them. The last asks for one tool call
    in a reply, in the words of either protocol; a server that refuses it is asked without anyhow."""
    stream: bool = False
    """Whether answers are streamed, so that a stalled one shows by its silence. Off, because each token of
    a streamed answer wakes us, some thirty times the CPU in all, and not every server then counts tokens."""

    timeout: Seconds = 600.0
    """Seconds one request may take, its answer included. Twice the longest answer of a busy server."""
    silence: Seconds = 120.0
    """Seconds a streamed answer may say nothing, at its start too. A long prompt takes a busy
    server a minute."""
    answer_bytes: Count = MOST_BYTES
    """Most bytes of one answer, streamed or not, once it is unpacked. A longer one is broken off, and
    counts as lost."""
    retries: Annotated[int, msgspec.Meta(ge=0)] = 5
    """Repetitions of a request that failed for a temporary reason: some 15 s of trouble. An endpoint that
    says that it is busy (429, 503, 529), or suddenly refuses, is waited for instead: see `patience`."""
    patience: Seconds = 600.0
    """Seconds from its first sign for which such a trouble is waited out, and for which a request waits while
    all endpoints rest; then the rollout fails, and is owed. Its own time, `agent.wall_clock`, goes on."""
    in_flight: Count = 1024
    """Most requests at once to one endpoint; more rollouts than that wait for one another. The number at work
    adapts below it: halved by 429, 503 and timeouts, growing again by one per round of answers."""
    trip_after: Count = 5
    """Failures in a row after which an endpoint gets a rest: 1 s, then doubling up to a minute."""
    hedge_after: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds after which a straggler is also put to another endpoint; the first answer counts. 0: never,
    since the loser may be billed."""
    price: Price | None = None
    """Price of the model; needed for `max_usd` unless the shipped table names the model."""

    def __post_init__(self) -> None:
        if bool(self.base_url) == bool(self.endpoints):
            raise ValueError("give teacher.base_url or teacher.endpoints, one of them")
        _check_variable(self.key_env)

    @property
    def addresses(self) -> tuple[Endpoint, ...]:
        """All endpoints, however they are given."""
        if self.endpoints:
            return self.endpoints
        return (
            Endpoint(
                base_url=self.base_url, dialect=self.dialect, key_env=self.key_env, key_file=self.key_file
            ),
        )

    @property
    def tariff(self) -> Price | None:
        """The price in force; None if nobody has said one."""
        return self.price or listed_price(self.model)


def split_address(base_url: str) -> tuple[str, str]:
    """(address without a slash at its end, query or nothing), or `ConfigError`.

    A password, an unknown query and a fragment are refused: settings are written down, and keys must not
    be. A token in the path, where some gateways want it, is hidden wherever the address is stored or shown.
    """
    told = "" if "@" in base_url else f"{shown(base_url.partition('?')[0])!r} "
    if not _is_address(base_url):
        raise ConfigError(f"teacher.base_url {told}is no URL: write e.g. http://localhost:8000/v1")
    parts = urlsplit(base_url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    foreign = given.keys() - _HARMLESS or any(map(looks_secret, given.values()))
    if "@" in parts.netloc or foreign or parts.fragment:
        raise ConfigError("teacher.base_url holds a key or password: put it into an environment variable "
                          "and name that in teacher.key_env")  # fmt: skip
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", parts.query


def _is_address(base_url: str) -> bool:
    try:
        parts = urlsplit(base_url)
        httpx2.URL(base_url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, httpx2.InvalidURL):
        return False


def _check_variable(name: str) -> None:
    """`ValueError`, without the name, if it cannot be a variable's or looks like the key itself."""
    words = (word for word in name.split("_") if len(word) >= _KEY_LIKE)
    if not _VARIABLE.fullmatch(name) or any(not word.isalpha() and not word.isupper() for word in words):
        raise ValueError(
            "key_env is no name of an environment variable: put the key into one, e.g. SERA_API_KEY, and "
            "give its name here"
        )
