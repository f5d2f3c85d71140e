"""Text of strangers made safe to look at: what would steer a terminal or turn the reading direction is shown,
and what a Markdown file would take for markup stands there as it is read. For HTML see
`datasets/look/html.py`, which escapes what comes out of here.

A model's words, and what a command printed, may hold anything; the command line shows all text so. Line
breaks and tabs stay, and so do joiners and what makes an emoji of a sign; other control characters, marks
that reorder text and characters that nobody sees become signs of their own (`␛`, `⟨U+202E⟩`).
"""

import json
import re

_PICTURES = 0x2400
_HIDDEN = (
    *range(0x80, 0xA0), 0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810),
    0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0x2800, 0x3164,
    *range(0xD800, 0xE000), *range(0xFE00, 0xFE0E), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFFC),
    *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000),
)  # fmt: skip
_SIGNS = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: "␡",
    **{code: f"⟨U+{code:04X}⟩" for code in _HIDDEN},
}


def visible(text: str) -> str:
    """The text with nothing hidden in it."""
    return text.translate(_SIGNS)


def one_line(text: str) -> str:
    """The same on one line, so that a name cannot say what the next line says."""
    return visible(text).replace("\n", "␊").replace("\t", "␉")


_MARKUP = re.compile(r"[\\`*#|~^]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_AS_ENTITIES = re.compile(
    r"[<>&$@{}\[\]]"  # HTML, formulas, mentions, templates, links
    r"|:(?=/|[\w+-]+:)|(?<=www)\."  # addresses and emoji
    r"|\A[-+=]",  # lists and rules, where a line begins with it
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\A(\d+)([.)])(?=\s|\Z)")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,._/+=-]*")


def markdown(value: object) -> str:
    """Any value as text in Markdown, on one line: in a paragraph, a heading or a cell of a table, no markup,
    HTML, link, formula or mention in it is one."""
    escaped = _MARKUP.sub(r"\\\g<0>", one_line(str(value)).strip())
    escaped = _NUMBERED.sub(r"\1\\\2", escaped)
    return _AS_ENTITIES.sub(lambda found: f"&#{ord(found[0])};", escaped)


def markdown_code(value: object) -> str:
    """The same as code. What is more than a word or a number stands there as other text."""
    text = str(value)
    return f"`{text}`" if _PLAIN.fullmatch(text) else markdown(text)


def yaml(value: object) -> str:
    """A value as one of YAML, in quotes, on one line."""
    return json.dumps(one_line(str(value)), ensure_ascii=False)


def shortened(line: str, limit: int) -> str:
    """A line of at most about `limit` characters, with a note of what is left out."""
    rest = len(line) - limit
    return line if rest <= 0 else f"{line[:limit]} […{rest:,} more characters]"
