"""Keys: from the environment or a file, into a header, and nowhere else. A token that is a part of the
address is one as well."""

import os
import re
from collections.abc import Iterable

from sera.errors import ConfigError, boundary
from sera.redaction.addresses import secrets_in
from sera.redaction.known import Known
from sera.teachers.remote.config import Endpoint

_HIDDEN = "[key]"
_SHORT = 8
"""Shorter ones are placeholders such as `none`, and hiding them would spoil messages."""
_LONGEST = 20
"""Times its length that a key can take at most in a text, by its escapes."""


class Key:
    """A key that does not show in a `repr`, and can take itself out of a text, with what else is secret in
    the address that it belongs to."""

    def __init__(self, secret: str, others: Iterable[str] = ()) -> None:
        self._secret = secret
        kept = [one for one in (secret, *others) if len(one) >= _SHORT]
        self._known = Known(kept)
        self._reach = _LONGEST * max(map(len, kept), default=0)

    def __repr__(self) -> str:
        return "Key(…)" if self._secret else "Key()"

    def __bool__(self) -> bool:
        return bool(self._secret)

    def header(self, scheme: str = "") -> str:
        """The value of the header that carries the key."""
        return f"{scheme} {self._secret}".strip()

    def redact(self, text: str, is_all: bool = True) -> str:
        """`text` without the key, however it is written: some servers repeat it when they refuse it. Of a
        text that was cut off the end goes as well, which may be the beginning of a key."""
        hidden = self._known.hide(text, _HIDDEN)
        return hidden if is_all or not self._reach else hidden[: -self._reach]


def read_key(endpoint: Endpoint) -> Key:
    """The key of an endpoint, empty if its variable is not set; `ConfigError` names where it was sought."""
    if endpoint.key_file is not None:
        source = f"the file {endpoint.key_file}"
        with boundary(ConfigError, f"teacher.key_file {endpoint.key_file}", OSError, UnicodeDecodeError):
            secret = endpoint.key_file.read_text("utf-8").strip()
        if not secret:
            raise ConfigError(f"{source} (teacher.key_file) is empty")
    else:
        source = f"the environment variable {endpoint.key_env}"
        secret = os.environ.get(endpoint.key_env, "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", secret):
        raise ConfigError(
            f"{source} holds no key: there are blanks or characters in it that no header may have"
        )
    return Key(secret, secrets_in(endpoint.base_url))
