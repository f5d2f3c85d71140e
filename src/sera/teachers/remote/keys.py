"""Keys: from the environment or a file, into a header, and nowhere else."""

import os
import re

from sera.errors import ConfigError, boundary
from sera.teachers.remote.config import Endpoint

_HIDDEN = "[key]"
_SHORT = 8
"""Shorter ones are placeholders such as `none`, and hiding them would spoil messages."""


class Key:
    """A key that does not show in a `repr`, and can take itself out of a text."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Key(…)" if self._secret else "Key()"

    def __bool__(self) -> bool:
        return bool(self._secret)

    def header(self, scheme: str = "") -> str:
        """The value of the header that carries the key."""
        return f"{scheme} {self._secret}".strip()

    def redact(self, text: str) -> str:
        """`text` without the key: some servers repeat it when they refuse it."""
        return text.replace(self._secret, _HIDDEN) if len(self._secret) >= _SHORT else text


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
    return Key(secret)
