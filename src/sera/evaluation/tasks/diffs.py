"""Unified diffs as `git apply` takes them."""

import base64
import difflib
import hashlib
import re
import string
import zlib
from collections.abc import Mapping

_NO_NEWLINE = "\\ No newline at end of file\n"
_WIDTH = 52
"""Bytes on a line of a binary patch."""
_HEAD = re.compile(r"^(?=diff --git )", re.M)


def diff(path: str, before: str, after: str) -> str:
    """The patch of one file that exists before and after, as `read_within` gives it; empty if the two are
    equal. Where it would not be text, it is one of git's binary patches, as sandboxes write them."""
    body = diff_lines(path, before, after)
    try:
        body.encode()
    except UnicodeEncodeError:
        body = _binary(_bytes(before), _bytes(after))
    return f"diff --git a/{path} b/{path}\n{body}" if body else ""


def diff_lines(path: str, before: str, after: str) -> str:
    """What changes in a file, line by line."""
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{path}", f"b/{path}", n=3)
    return "".join(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}" for line in lines)


def diff_all(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The patch of several files, by path."""
    return "".join(diff(path, text, after[path]) for path, text in sorted(before.items()))


def parts_of(patch: str) -> list[str]:
    """A patch file by file."""
    return [part for part in _HEAD.split(patch) if part]


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _binary(before: bytes, after: bytes) -> str:
    names = "..".join(hashlib.sha1(b"blob %d\0" % len(one) + one).hexdigest() for one in (before, after))
    return f"index {names}\nGIT binary patch\n{_literal(after)}\n{_literal(before)}\n"


def _literal(content: bytes) -> str:
    """A content in git's base 85: each line says the number of its bytes by a letter, A to Z and a to z."""
    packed = zlib.compress(content)
    parts = [packed[start : start + _WIDTH] for start in range(0, len(packed), _WIDTH)]
    lines = (f"{string.ascii_letters[len(one) - 1].swapcase()}{_base85(one)}\n" for one in parts)
    return f"literal {len(content)}\n{''.join(lines)}"


def _base85(part: bytes) -> str:
    return base64.b85encode(part, pad=True).decode()
