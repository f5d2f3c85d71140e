"""Unified diffs as `git apply` takes them."""

import difflib
import re
from collections.abc import Mapping

_NO_NEWLINE = "\\ No newline at end of file\n"
_HEAD = re.compile(r"^(?=diff --git )", re.M)


def diff(path: str, before: str, after: str) -> str:
    """The patch of one file that exists before and after; empty if the two are equal."""
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{path}", f"b/{path}", n=3)
    body = "".join(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}" for line in lines)
    return f"diff --git a/{path} b/{path}\n{body}" if body else ""


def diff_all(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The patch of several files, by path."""
    return "".join(diff(path, text, after[path]) for path, text in sorted(before.items()))


def parts_of(patch: str) -> list[str]:
    """A patch file by file."""
    return [part for part in _HEAD.split(patch) if part]


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)
