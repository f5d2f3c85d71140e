"""Private key blocks: the body of a PEM or PGP block, also where a tool has put something before each line.

    -----BEGIN RSA PRIVATE KEY-----                 -----BEGIN RSA PRIVATE KEY-----
    MIIEpAIBAAKCAQEA…                        ─►     [redacted private-key]
    -----END RSA PRIVATE KEY-----                   -----END RSA PRIVATE KEY-----

Lines stay lines, with what stands before them (a number and a tab, the sign of a diff, an indentation, a
quotation mark), so that listings and diffs can still be read. A block may be cut off at either end; lines
from its middle alone cannot be told from other data and are not recognised.
"""

import re

MARK = "PRIVATE KEY"
"""A text without it holds no block."""
_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_LEAD = re.compile(r"(?:(?:[^\s:]{1,200}:)?\s*+\d{1,7}+[:\t-])?[+\- ]?\s*+(?:[bfru]{0,2}[\"'`]{1,3})?")
_BODY = r"(?:[A-Za-z0-9+/=]|\\[nr])*+"
_LINE = re.compile(rf"{_LEAD.pattern}(?:{_BODY}|[A-Z][A-Za-z-]+: [^\n]*)[\"'`]{{0,3}}[,;)]*\s*[+\\]?\r?")
_HEADER = re.compile(rf"{_LEAD.pattern}[A-Z][A-Za-z-]+: ")
_RUN = re.compile(r"(\\[nr])|[A-Za-z0-9+/=]{4,}")
_LONG = re.compile(r"[A-Za-z0-9+/=]{32,}")


def hide_private_keys(text: str, placeholder: str) -> str:
    """`text` with the body of every private key replaced, line by line."""
    lines = text.split("\n")
    for n, line in enumerate(lines):
        if begin := _BEGIN.search(line):
            _hide_after(lines, n, begin.end(), placeholder)
        elif _END.search(line):
            _hide_before(lines, n, placeholder)
    return "\n".join(lines)


def _hide_after(lines: list[str], n: int, start: int, placeholder: str) -> None:
    """From the head of a block to its end, or as far as lines look like its body."""
    head, tail = lines[n][:start], lines[n][start:]
    if end := _END.search(tail):
        lines[n] = head + _blot(tail[: end.start()], placeholder) + tail[end.start() :]
        return
    if not _LINE.fullmatch(tail):
        return
    lines[n] = head + _blot(tail, placeholder)
    for m in range(n + 1, len(lines)):
        if _END.search(lines[m]) or not _LINE.fullmatch(lines[m]):
            return
        lines[m] = _blot_line(lines[m], placeholder)


def _hide_before(lines: list[str], n: int, placeholder: str) -> None:
    """Upwards from the foot of a block whose head is missing; only the lowest line may be short."""
    for m in range(n - 1, -1, -1):
        if not _LINE.fullmatch(lines[m]) or not (m == n - 1 or _LONG.search(lines[m])):
            return
        lines[m] = _blot_line(lines[m], placeholder)


def _blot_line(line: str, placeholder: str) -> str:
    if _HEADER.match(line):
        return line
    lead = _LEAD.match(line)
    assert lead
    return lead[0] + _blot(line[lead.end() :], placeholder)


def _blot(body: str, placeholder: str) -> str:
    return _RUN.sub(lambda run: run[1] or placeholder, body)
