"""Known secrets: values of this machine's environment, and of a file that the user names."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from sera.errors import ConfigError, boundary
from sera.redaction.addresses import secrets_in
from sera.redaction.config import RedactionConfig

_NAME = re.compile(
    r"(?:^|_|API|ACCESS)KEYS?(?:_|\d|$)|(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?(?:_|\d|$)"
    r"|(?:^|_)(?:PASS|PAT|AUTH)(?:_|\d|$)",
    re.IGNORECASE,
)
_LONG, _DIFFERENT = 12, 8
"""Characters in all, and different ones, from which a value is taken for a secret by its variable's name."""
_LONGER = 8
"""Characters from which what is secret in an address counts, such as a proxy's password:
`postgres:postgres@` is none."""
_SHORTEST = 4
"""Shorter secrets would tear every text to pieces."""
_SHORTEST_LINE = 16
"""Of a secret of several lines, the lines that count."""


def known_values(config: RedactionConfig, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Every known secret, longest first; of one of several lines each long one.

    Raises `ConfigError`, which names the place and never the value, if a variable that is named is not set,
    the file cannot be read, or a secret is too short to be looked for.
    """
    taken = {name: value for name, value in environment.items() if name not in config.harmless}
    found = {value for name, value in taken.items() if _is_secret(name, value)}
    found |= {
        one
        for value in taken.values()
        for one in secrets_in(value)
        if len(one) >= _LONGER and not one.isalpha()
    }
    for name in config.variables:
        found.add(_checked(environment.get(name, ""), f"redaction.variables: {name}"))
    if config.file is not None:
        found.update(_read(config.file))
    return tuple(
        sorted({line for secret in found for line in lines_of(secret)}, key=lambda line: (-len(line), line))
    )


def spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Values as they are and escaped for JSON and for URLs, line by line, longest first."""
    lines = {line for secret in secrets for line in lines_of(secret)}
    written = {way for line in lines for way in (line, json.dumps(line)[1:-1], quote(line, safe=""))}
    return tuple(sorted(written, key=lambda value: (-len(value), value)))


def lines_of(secret: str) -> Iterable[str]:
    """The parts of a secret that are looked for: all of one line, and the long ones of several."""
    lines = secret.strip().splitlines()
    if len(lines) == 1:
        return lines
    return [line for line in map(str.strip, lines) if len(line) >= _SHORTEST_LINE and "-----" not in line]


def sounds_secret(name: str) -> bool:
    """Whether a variable of that name holds a secret by custom."""
    return bool(_NAME.search(name))


def _is_secret(name: str, value: str) -> bool:
    """By its name, and because it looks like no word, path, address or sentence."""
    value = value.strip()
    if not sounds_secret(name) or len(value) < _LONG or len(set(value)) < _DIFFERENT:
        return False
    if "-----BEGIN" in value:
        return True
    plain = value.startswith(("/", "./", "~", "http://", "https://")) or re.search(r"\s", value)
    return not plain and bool(re.search(r"\d", value) and re.search(r"[A-Za-z]", value))


def _checked(value: str, where: str) -> str:
    if not value:
        raise ConfigError(f"{where} is not set in the environment: set it, or take it out of the settings")
    if len(value) < _SHORTEST:
        raise ConfigError(
            f"{where} has fewer than {_SHORTEST} characters: a secret so short cannot be told from text"
        )
    return value


def _read(file: Path) -> list[str]:
    with boundary(ConfigError, f"redaction.file {file}", OSError, UnicodeDecodeError):
        lines = file.read_text("utf-8").splitlines()
    return [
        _checked(line.strip(), f"redaction.file {file}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
