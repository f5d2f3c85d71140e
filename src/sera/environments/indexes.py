"""The package index that the user has set up, for uv too: it does not read pip's settings by itself.

A company's index stands in pip's settings as often as in uv's, and asking the public one instead would
be wrong, and a risk. Addresses reach the program through its environment, never its command line.
"""

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

_OF_UV = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_CONFIG_FILE")
_UV_FILES = ("~/.config/uv/uv.toml", "/etc/uv/uv.toml")
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


def for_uv(index: str) -> dict[str, str]:
    """Variables that make uv ask `index`, or else the index that the user has set for uv, or else for pip."""
    if index:
        return {"UV_DEFAULT_INDEX": index, "UV_INDEX": ""}
    if any(os.environ.get(name) for name in _OF_UV) or any(
        Path(file).expanduser().exists() for file in _UV_FILES
    ):
        return {}
    settings = _pip_settings()
    found = {
        "UV_FIND_LINKS": ",".join(settings.get("find-links", "").split()),
        "UV_DEFAULT_INDEX": settings.get("index-url", ""),
        "UV_INDEX": " ".join(settings.get("extra-index-url", "").split()),
    }
    if found["UV_INDEX"]:  # pip takes the best version of all indexes
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in found.items() if value}


def for_pip(index: str) -> dict[str, str]:
    """Variables that make pip ask `index`; without one it knows its own settings."""
    return {"PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": ""} if index else {}


def _pip_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    own = environment.get("PIP_CONFIG_FILE", "")
    files = [] if own == os.devnull else [*_PIP_FILES, own]  # the null device: pip reads no file at all
    try:
        parser.read([Path(file).expanduser() for file in files if file], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return {}
    found = {key: value for section in ("global", "install") if parser.has_section(section)
             for key, value in parser.items(section)}  # fmt: skip
    for key in ("index-url", "extra-index-url"):
        if told := environment.get("PIP_" + key.upper().replace("-", "_")):
            found[key] = told
    return found
