"""Text of strangers made safe to look at: what would steer a terminal or turn the reading direction is shown.

A model's words, and what a command printed, may hold anything; the command line shows all text so. Line
breaks and tabs stay; other control characters, marks that reorder text and characters without width become
signs of their own (`␛`, `⟨U+202E⟩`).
"""

_PICTURES = 0x2400
_HIDDEN = (
    *range(0x80, 0xA0), 0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F),
    *range(0x2060, 0x2070), *range(0xD800, 0xE000), 0xFEFF, *range(0xFFF9, 0xFFFC),
    *range(0xE0000, 0xE0080),
)  # fmt: skip
_SIGNS = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: "␡",
    **{code: f"⟨U+{code:04X}⟩" for code in _HIDDEN},
}


def visible(text: str) -> str:
    """The text with nothing hidden in it."""
    return text.translate(_SIGNS)


def shortened(line: str, limit: int) -> str:
    """A line of at most about `limit` characters, with a note of what is left out."""
    rest = len(line) - limit
    return line if rest <= 0 else f"{line[:limit]} […{rest:,} more characters]"
