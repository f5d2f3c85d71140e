"""Text files as the editor reads and writes them: bytes with an encoding and perhaps a byte order mark.

A file is UTF-8 unless it says otherwise. A Python file says so as Python reads it (PEP 263), and is written
as its text then says; of any other file the head is asked where it is no UTF-8: Emacs, vim, XML, HTML. Only
encodings that keep ASCII and every byte are taken: what could not be written back as it was is no text.
"""

import codecs
import re

import msgspec

_COOKIE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BEFORE_COOKIE = re.compile(rb"[ \t\f]*(#|\r?$)")
_ANYWHERE = re.compile(rb"(?:coding|charset)\s*[:=]\s*[\"']?([-\w.]+)")
_HEAD = 1024
"""Bytes in which a file says its encoding."""
_PYTHON = (".py", ".pyi", ".pyw")
_TAKEN = re.compile(
    r"ascii|utf-8|iso8859-\d+|cp(125\d|437|8[56]\d|874|932|949|950)|koi8-[rut]|mac-\w+"
    r"|euc_(jp|kr)|shift_jis|gb(2312|k|18030)|big5"
)
_UTF8 = "utf-8"


class TextFile(msgspec.Struct, frozen=True):
    """What a file holds."""

    content: bytes
    text: str
    """Without the mark."""
    encoding: str = _UTF8
    cookie: str = ""
    """The encoding that a Python file says it has."""
    marked: bool = False
    """Whether a byte order mark of UTF-8 comes first."""

    def rewritten(self, path: str, text: str) -> bytes:
        """The bytes of the file with another text. Raises `UnicodeEncodeError` if its encoding lacks some of
        its characters."""
        cookie = _cookie(path, text[:_HEAD].encode(_UTF8, "replace"))
        encoding = self.encoding if self.marked or cookie == self.cookie else cookie or _UTF8
        return codecs.BOM_UTF8 * self.marked + text.encode(encoding)


NEW = TextFile(content=b"", text="")
"""A file that is not there yet."""


def read(path: str, content: bytes) -> TextFile:
    """The text of a file's content. Raises `UnicodeDecodeError` if it is none."""
    if content.startswith(codecs.BOM_UTF8):
        return TextFile(content, content[len(codecs.BOM_UTF8) :].decode(_UTF8), marked=True)
    cookie = _cookie(path, content)
    for encoding in filter(None, (cookie, _UTF8, _taken(_ANYWHERE.search(content[:_HEAD])))):
        try:
            text = content.decode(encoding)
            if text.encode(encoding) == content:
                return TextFile(content, text, encoding, cookie)
        except UnicodeError:
            continue
    raise UnicodeDecodeError(_UTF8, content[:1], 0, 1, "no text in an encoding that it names")


def _cookie(path: str, content: bytes) -> str:
    lines = content[:_HEAD].split(b"\n", 2)[:2]
    if not (path.endswith(_PYTHON) or (lines[0].startswith(b"#!") and b"python" in lines[0])):
        return ""
    found = _COOKIE.match(lines[0])
    if not found and len(lines) > 1 and _BEFORE_COOKIE.match(lines[0]):
        found = _COOKIE.match(lines[1])
    return _taken(found)


def _taken(found: re.Match[bytes] | None) -> str:
    """The encoding's own name, if it is one of those that are taken."""
    try:
        name = codecs.lookup(found[1].decode("ascii")).name if found else ""
    except (LookupError, ValueError):
        return ""
    return name if _TAKEN.fullmatch(name) else ""
