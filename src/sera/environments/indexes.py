"""Where an installer goes: to `environment.index`, else to the index that the user has set up here.

An installer finds no variable and no file of settings by itself: what is said here is all that it is told.
With `environment.index` nothing else has a say. A company's index stands in pip's settings as often as in
uv's, and asking the public one instead would be wrong, and a risk: so pip's are handed to uv where uv has
none. Addresses reach the program through its environment, never its command line.
"""

import configparser
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from sera.repositories.remotes import redacted

_OF_UV = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_CONFIG_FILE")
_UV_MORE = ("UV_FIND_LINKS", "UV_NO_INDEX", "UV_INDEX_STRATEGY", "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER")
_UV_LOGIN = re.compile(r"UV_INDEX_\w+_(?:USERNAME|PASSWORD)")
_UV_MACHINE = (
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
    "UV_HTTP_TIMEOUT",
    "UV_HTTP_RETRIES",
    "UV_LINK_MODE",
    "UV_OFFLINE",
)
_PIP_PLACES = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host")
_PIP_MACHINE = ("cert", "client-cert", "timeout", "default-timeout", "retries", "proxy")
_UV_FILES = ("~/.config/uv/uv.toml", "/etc/uv/uv.toml")
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


def uv_variables(index: str) -> dict[str, str]:
    """All that uv is told of where to go, and how."""
    told = {name: value for name in _UV_MACHINE if (value := os.environ.get(name))}
    own = os.environ.get("UV_CACHE_DIR") or str(_cache_home() / "uv")
    told |= {"UV_CACHE_DIR": own, **for_uv(index)}
    if not index:
        told |= {name: value for name, value in os.environ.items()
                 if name in (*_OF_UV, *_UV_MORE) or _UV_LOGIN.fullmatch(name)}  # fmt: skip
        if file := next((path for path in map(_expanded, _UV_FILES) if path.is_file()), None):
            told.setdefault("UV_CONFIG_FILE", str(file))
    return told if "UV_CONFIG_FILE" in told else {**told, "UV_NO_CONFIG": "1"}


def pip_variables(index: str) -> dict[str, str]:
    """All that pip is told of where to go, and how."""
    keys = _PIP_MACHINE if index else (*_PIP_PLACES, *_PIP_MACHINE)
    settings = _pip_settings(told=keys)
    told = {_variable(key): " ".join(value.split()) for key, value in settings.items() if key in keys}
    own = os.environ.get("PIP_CACHE_DIR") or str(_cache_home() / "pip")
    return {"PIP_CACHE_DIR": own, **told, **for_pip(index), "PIP_CONFIG_FILE": os.devnull}


def identity(index: str) -> list[str]:
    """What an environment depends on of all this, without anybody's credentials."""
    if index:
        return [redacted(index)]
    places = {*_OF_UV, *_UV_MORE, *map(_variable, _PIP_PLACES)} - {"UV_KEYRING_PROVIDER"}
    told = uv_variables("") | pip_variables("")
    if file := told.get("UV_CONFIG_FILE"):
        told["UV_CONFIG_FILE"] = _content(Path(file))
    return [f"{name}={' '.join(map(redacted, told[name].split()))}" for name in sorted(places & told.keys())]


def for_uv(index: str) -> dict[str, str]:
    """Variables that make uv ask `index`, or else the index that the user has set for uv, or else for pip."""
    if index:
        return {"UV_DEFAULT_INDEX": index, "UV_INDEX": ""}
    if any(os.environ.get(name) for name in _OF_UV) or any(_expanded(file).exists() for file in _UV_FILES):
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


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute()


def _content(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _expanded(file: str) -> Path:
    return Path(file).expanduser()


def _variable(key: str) -> str:
    """The variable that sets an option of pip."""
    return "PIP_" + key.upper().replace("-", "_")


def _pip_settings(
    environment: Mapping[str, str] = os.environ, told: Iterable[str] = ("index-url", "extra-index-url")
) -> dict[str, str]:
    """pip's options as its files say, and the variables of those `told`."""
    parser = configparser.RawConfigParser(strict=False)
    own = environment.get("PIP_CONFIG_FILE", "")
    files = [] if own == os.devnull else [*_PIP_FILES, own]  # the null device: pip reads no file at all
    try:
        parser.read([Path(file).expanduser() for file in files if file], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return {}
    found = {key: value for section in ("global", "install") if parser.has_section(section)
             for key, value in parser.items(section)}  # fmt: skip
    return found | {key: value for key in told if (value := environment.get(_variable(key)))}
