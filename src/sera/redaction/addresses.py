"""Addresses that may carry a secret: what is secret in one, and the form that is stored and shown.

    https://user:PASSWORD@host/TOKEN/v1?key=SECRET#SECRET   ─►   https://***@host/***/v1?key=***

User and password are secret, and what a query or a fragment gives. A part of the path is when it looks like a
token rather than a name, since accounts and deployments stand there as well: `looks_secret`. The path of a
`file:` is one of this machine, and shown.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from sera.redaction.shapes import shapes

HIDDEN = "***"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,32}://[^\s\"'`<>]+")
_VERSION = re.compile(r"\d[\w.-]{0,20}|")
"""A value in a query that is none: `api-version=2024-10-21`."""
_WORD = re.compile(r"[A-Za-z0-9]+")
_NAMED = re.compile(
    r"(?:sk|pk|pat|pw|tok|key)[-_:=](?=.*\d).{8,}|(?=.*\d)(?=.{10}).*(?:token(?!i[sz])|secret(?!ar)"
    r"|passw(?!ordless)|api[-_]?key).*",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RUN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_RUNS_FROM = 5
"""Letters of a word from which its runs count: names have `k8s` and `A3B` in them."""
_TURN = re.compile(r"(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])")
_SHORTEST = 4
"""Shorter ones are hidden where they stand in an address, and looked for nowhere else."""


def looks_secret(text: str) -> bool:
    """Whether a part of a path, or a value, is more likely a token than a name: a known shape, or a long word
    of letters and digits in turn, as no person writes one."""
    if _UUID.search(text) or _NAMED.fullmatch(text) or _is_mixed(text):
        return True
    return any(map(_is_random, _WORD.findall(text))) or has_shape(text)


def has_shape(text: str) -> bool:
    """Whether a token of a known shape is in it."""
    return any(shape.hide(text, lambda _, __: "") != text for shape in shapes())


def _is_mixed(text: str) -> bool:
    """Whether its words change between letters, capitals and digits every four signs or sooner, as random
    ones do, whatever parts them."""
    words = [word for word in _WORD.findall(text) if len(word) >= _RUNS_FROM]
    changes = sum(len(_RUN.findall(word)) - 1 for word in words)
    return changes >= 5 and changes * 4 >= sum(map(len, words))


def _is_random(word: str) -> bool:
    if len(word) < 10 or word.isalpha() or word.isdigit():
        return False
    turns, mixed = len(_TURN.findall(word)), word.lower() != word != word.upper()
    return (
        (len(word) >= 20 and turns >= 2)
        or turns >= 4
        or (len(word) >= 12 and turns >= 3 and mixed)
        or (len(word) >= 16 and (turns >= 3 or not word.strip("0123456789abcdef")))
    )


def shown(text: str, hidden: str = HIDDEN) -> str:
    """A text with every address in it as it may be stored and printed."""
    return _ADDRESS.sub(lambda found: _shown(found[0], hidden), text)


def shown_path(path: str, hidden: str = HIDDEN) -> str:
    """The path of an address without what looks secret in it."""
    return "/".join(_shown_part(part, hidden) for part in path.split("/"))


def secrets_in(address: str) -> tuple[str, ...]:
    """Everything secret in the addresses that a text holds, as it is written and as it is meant."""
    found = {secret for one in _ADDRESS.findall(address) for secret in _secrets(one)}
    meant = {way for secret in found for way in (secret, unquote(secret))}
    return tuple(sorted(secret for secret in meant if len(secret) >= _SHORTEST))


def _shown(address: str, hidden: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        scheme, _, rest = address.partition("://")
        return f"{scheme}://{hidden if set('@?#') & set(rest) else shown_path(rest, hidden)}"
    _, at, host = parts.netloc.rpartition("@")
    netloc = f"{hidden}@{host}" if at else host
    query = "&".join(_shown_pair(pair, hidden) for pair in parts.query.split("&"))
    end = (f"?{query}" if query else "") + (f"#{hidden}" if parts.fragment else "")
    path = parts.path if parts.scheme == "file" else shown_path(parts.path, hidden)
    return f"{parts.scheme}://{netloc}{path}{end}"


def _shown_pair(pair: str, hidden: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name if equals else ''}{equals}{hidden}" if _secret_value(pair) else pair


def _secret_value(pair: str) -> str:
    """What a part of a query gives, unless it is a version."""
    name, equals, value = pair.partition("=")
    given = value if equals else name
    return "" if _VERSION.fullmatch(given) and not looks_secret(given) else given


def _shown_part(part: str, hidden: str) -> str:
    secret = _secret_part(part)
    return part[: len(part) - len(secret)] + hidden if secret else part


def _secret_part(part: str) -> str:
    """What is secret in one part of a path: behind a colon what no word is, else all of it or nothing."""
    _, colon, rest = unquote(part).partition(":")
    if colon and len(rest) >= 6 and not rest.isalpha():
        return part.partition(":")[2] if ":" in part else part
    return part if looks_secret(unquote(part)) else ""


def _secrets(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    info = parts.netloc.rpartition("@")[0]
    user, colon, password = info.partition(":")
    yield password if colon else user if looks_secret(user) else ""
    if parts.scheme != "file":
        yield from filter(None, map(_secret_part, parts.path.split("/")))
    yield from map(_secret_value, parts.query.split("&"))
    yield parts.fragment
