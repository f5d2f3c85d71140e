"""What a failure means and what to do about it, told by what a program said. The patterns are data:
`causes.toml`."""

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Literal

from sera.records import Record

Place = Literal["installer", "sandbox"]
_TAIL = 20_000
UNKNOWN = "the cause is not recognised"


class Cause(Record, frozen=True):
    """Why something failed."""

    cause: str
    cure: str = ""
    said: str = ""
    """The line that tells."""

    def __str__(self) -> str:
        return f"{self.cause}: {self.cure}" if self.cure else self.cause


def find_cause(output: str, place: Place) -> Cause:
    """The cause behind what a program said at a place; its last line if no pattern knows it."""
    text = output[-_TAIL:]
    for where, pattern, cause, cure in _patterns():
        if where in ("", place) and (found := pattern.search(text)):
            what = next((group for group in found.groups() if group), "")
            return Cause(
                cause=cause.replace(": {1}", f": {what}" if what else "").replace("{1}", what),
                cure=cure,
                said=_line(text, found.start()),
            )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Cause(cause=UNKNOWN, said=lines[-1][:300] if lines else "")


@cache
def _patterns() -> list[tuple[str, re.Pattern[str], str, str]]:
    text = (resources.files("sera.environments") / "causes.toml").read_text("utf-8")
    return [
        (one.get("place", ""), re.compile(one["pattern"], re.I | re.M), one["cause"], one["cure"])
        for one in tomllib.loads(text)["cause"]
    ]


def _line(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return text[start : end if end >= 0 else len(text)].strip()[:300]
