"""The formats, by the name that `DatasetConfig.format` gives them. This is the only list of them."""

from collections.abc import Mapping

from sera.errors import ConfigError
from sera.formats.contract import Format, Turn
from sera.formats.hermes import Hermes
from sera.formats.raw import RawFormat
from sera.formats.servers import Tools
from sera.formats.text import TextFormat
from sera.formats.xml import Xml

FORMATS: Mapping[str, Format] = {
    "hermes": TextFormat(Hermes()),
    "xml": TextFormat(Xml()),
    "raw": RawFormat(TextFormat(Hermes())),
}


def find_format(name: str) -> Format:
    """The format of that name; `ConfigError` lists the known ones."""
    if name not in FORMATS:
        raise ConfigError(f"there is no dataset format {name!r}: choose one of {', '.join(FORMATS)}")
    return FORMATS[name]


def tools_in(name: str, prompt: str) -> Tools:
    """The tools that a system prompt of that format describes; of `xml`, names and types only."""
    return (Xml() if name == "xml" else Hermes()).defined(prompt)


__all__ = ["FORMATS", "Format", "Turn", "find_format", "tools_in"]
