"""Reading what a teacher answers to the two questions outside a rollout."""

import re

_BLOCK = re.compile(r"<output>(.*?)(?:</output>|\Z)", re.DOTALL)
_WORD = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


def read_block(text: str) -> str:
    """The text inside the last `<output>` block, or nothing. A block cut off at the end counts."""
    blocks = [block.strip() for block in _BLOCK.findall(text)]
    return next((block for block in reversed(blocks) if block), "")


def read_verdict(text: str) -> bool | None:
    """The yes or no that an `<output>` block begins with; None if there is neither."""
    word = _WORD.match(read_block(text))
    return word[1].lower() == "yes" if word else None
