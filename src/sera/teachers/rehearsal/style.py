"""The outward style of an issue text, measured on a demonstration."""

import re

import msgspec

_HEADING = re.compile(r"^(#{1,5} |\*\*[^*\n]+\*\*:?$)", re.MULTILINE)
_BULLET = re.compile(r"^ {0,3}([-*+]) (?!\[[ x]\])", re.MULTILINE)
_NUMBERED = re.compile(r"^ {0,3}\d+[.)] ", re.MULTILINE)
_CHECKBOX = re.compile(r"^ {0,3}[-*] \[[ x]\] ", re.MULTILINE)
_GREETING = re.compile(
    r"^(hi|hello|hey|dear|good (?:morning|evening|day))\b[^\n]{0,30}$", re.IGNORECASE | re.MULTILINE
)
_CLOSING = re.compile(r"^(thanks|thank you|cheers|best|kind regards|regards)\b", re.IGNORECASE | re.MULTILINE)
_SENTENCE = re.compile(r"(?:^|[.!?]\s+|\n\n)([A-Za-z])")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


class Style(msgspec.Struct, frozen=True):
    """What an imitation keeps to."""

    length: int
    """Characters."""
    title: bool = False
    """Whether it opens with a short line of its own that is no sentence of the text."""
    heading: str = ""
    """What stands before a heading: `## `, or `**` for bold lines; empty if there are none."""
    bullet: str = ""
    """The character of its lists, or empty."""
    numbered: bool = False
    checkbox: bool = False
    fence: bool = False
    """Whether it has fenced blocks."""
    ticks: bool = False
    """Whether names stand in backticks."""
    lower: bool = False
    """Whether sentences begin in lower case."""
    greeting: bool = False
    closing: bool = False


def measure(text: str) -> Style:
    """The style of a text."""
    prose = _FENCED.sub("", text)
    heading = _HEADING.search(prose)
    bullet = _BULLET.search(prose)
    begins = _SENTENCE.findall(prose)
    first, _, rest = text.strip().partition("\n")
    return Style(
        length=len(text),
        title=bool(rest.startswith("\n") and len(first) <= 100 and not first.endswith((".", ",", ":", "!"))),
        heading=("**" if heading[1].startswith("**") else heading[1]) if heading else "",
        bullet=bullet[1] if bullet else "",
        numbered=bool(_NUMBERED.search(prose)),
        checkbox=bool(_CHECKBOX.search(prose)),
        fence="```" in text,
        ticks=bool(re.search(r"`[^`\n]+`", prose)),
        lower=len(begins) > 1 and sum(letter.islower() for letter in begins) > len(begins) / 2,
        greeting=bool(_GREETING.search(prose)),
        closing=bool(_CLOSING.search(prose)),
    )
