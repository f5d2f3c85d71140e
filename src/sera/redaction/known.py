"""Known secrets in a text, in whatever way a server, a tool or a repository has written them.

    text ─► as it stands ─┐
      └─► escapes undone ─┴─► the secret, its base64 and hex, letters and digits alone ─► places in the text

A secret is found as it stands; behind escapes of JSON, of programming languages, of URLs and of HTML, also
one within another; in base64 of either alphabet, alone or as a part of more (`user:key`, `Bearer key`), in
hex; and broken over lines or pieces, with quotes, margins, line numbers or signs of a diff between them.
For the last, only letters and digits are compared, so a secret has to have enough of both to be told from
words. The work is linear in the text: each way of writing is looked for once, and escapes are undone a
fixed number of times.
"""

import base64
import html
import re
import string
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from itertools import compress, pairwise

Span = tuple[int, int]
_HEX = "[0-9A-Fa-f]"
_ESCAPES = tuple(
    re.compile(pattern, re.VERBOSE | re.DOTALL)
    for pattern in (
        rf"""\\(?: (?P<bytes> x[C-Fc-f]{_HEX}(?:\\x[89ABab]{_HEX}){{1,3}} )
            | (?P<octals> 3[0-7]{{2}}(?:\\2[0-7]{{2}}){{1,3}} | [01][0-7]{{2}} )
            | (?P<code> U{_HEX}{{8}} | u\{{{_HEX}{{1,6}}\}} | u{_HEX}{{4}} | x{_HEX}{{2}} )
            | (?P<letter> . ) )""",
        rf"""%(?: (?P<bytes> [C-Fc-f]{_HEX}(?:%[89ABab]{_HEX}){{1,3}} )
            | (?P<code> u{_HEX}{{4}} | {_HEX}{{2}} ) )""",
        r"&(?P<entity> \#?[0-9A-Za-z]{1,10}; )",
        r"\n(?P<number> [ \t]*[0-9]{1,7}\t )",
    )
)
"""Of JSON and programming languages, of URLs, of HTML, and the number before a line, which stands for
nothing. Each begins with one sign, which alone is found quickly."""
_SIGNS = frozenset("\\%&")
"""What an escape begins with: where one means such a sign, there may be another within."""
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}
_ROUNDS = 3
"""Escapes within escapes that are undone: JSON in JSON in JSON."""
_OTHER = bytes(code for code in range(256) if not chr(code).isalnum() or code > 127)
"""Every byte that is no letter or digit."""
_IS_LETTER = bytes(code not in _OTHER for code in range(256))
_GAP = 80
"""Signs that may stand between two letters of a secret: its own, or a break of any kind."""
_ENCODED_FROM = 8
"""Characters from which a secret is also looked for in base64 and hex."""
_LOOSE_FROM = 12
"""Letters and digits, some of both, from which they are enough to know a secret by."""
_BASE64 = frozenset(string.ascii_letters + string.digits + "+/-_")
_WINDOW, _OVERLAP = 1 << 20, 1 << 16
"""Characters that are looked at together, and those that are looked at once more with the next: no secret is
longer, however it is written."""
_LEAD = re.compile(r"(?:[ \t]*\d{1,7}\t)?[+-]?[ \t]*[\"'`]{0,3}")
_TAIL = "\"'`+\\ \t\r"
"""What stands on a line before and behind a piece of a broken secret, and stays."""


class _Needle:
    """One way a secret may be written, by its letters and digits."""

    def __init__(self, written: str, encoded: bool = False) -> None:
        self.letters = _letters_of(written)
        """A text without them in a row does not hold it."""
        first, last = (written.find(chr(self.letters[0])), written.rfind(chr(self.letters[-1])))
        self._before, self._after = written[:first], written[last + 1 :]
        self._encoded = encoded
        """In base64: the letters on either side hold some of its bits too."""

    def around(self, text: str, start: int, end: int) -> Span:
        """The place of the letters with what belongs to them on either side."""
        if self._encoded:
            return _widened(text, (start, end))
        start -= len(self._before) if text.endswith(self._before, 0, start) else 0
        return start, end + (len(self._after) if text.startswith(self._after, end) else 0)


class Known:
    """Secrets that are known, and where a text holds them. It does not show them in a `repr`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(sorted(set(filter(None, secrets)), key=lambda one: (-len(one), one)))
        self._needles = {secret: tuple(_needles(secret)) for secret in self._secrets}
        self._exact = frozenset(secret for secret in self._secrets if not _is_loose(secret))

    def __repr__(self) -> str:
        return f"Known({len(self._secrets)} secrets)"

    def __len__(self) -> int:
        return len(self._secrets)

    def find(self, text: str) -> Iterator[tuple[str, list[Span]]]:
        """Every secret that `text` holds, with the places, which may overlap those of others."""
        found: dict[str, list[Span]] = {}
        for at in range(0, len(text) if self._secrets else 0, _WINDOW):
            for view in _views(text[at : at + _WINDOW + _OVERLAP]):
                for secret, (start, end) in self._in(view.text):
                    start, end = view.back((start, end))
                    found.setdefault(secret, []).append((at + start, at + end))
        for secret, places in found.items():
            yield secret, _merged(places)

    def hide(self, text: str, placeholder: str) -> str:
        """`text` with the placeholder in the place of every secret. Line breaks inside of one stay, and the
        pieces on each line become a placeholder of their own."""
        places = _merged(place for _, found in self.find(text) for place in found)
        if not places:
            return text
        parts, at = [], 0
        for start, end in places:
            parts += [text[at:start], _replaced(text[start:end], placeholder)]
            at = end
        return "".join([*parts, text[at:]])

    def _in(self, text: str) -> Iterator[tuple[str, Span]]:
        letters = _letters_of(text)
        places: array[int] | None = None
        for secret, needles in self._needles.items():
            start = text.find(secret) if secret in self._exact else -1
            while start >= 0:
                yield secret, (start, start + len(secret))
                start = text.find(secret, start + len(secret))
            for needle in needles:
                at, size = letters.find(needle.letters), len(needle.letters)
                while at >= 0:
                    places = _places_of(text) if places is None else places
                    met = places[at : at + size]
                    near = all(after - before <= _GAP + 1 for before, after in pairwise(met))
                    if near:
                        yield secret, needle.around(text, met[0], met[-1] + 1)
                    at = letters.find(needle.letters, at + (size if near else 1))


def _replaced(found: str, placeholder: str) -> str:
    """What stands in the place of a secret: the placeholder once a line, with what parts the lines."""
    lines = found.split("\n")
    for n, line in enumerate(lines):
        margin = _LEAD.match(line) if n else None
        lead = margin[0] if margin else ""
        end = len(line.rstrip(_TAIL)) if n < len(lines) - 1 else len(line)
        if end > len(lead) or len(lines) == 1:
            lines[n] = f"{lead}{placeholder}{line[end:]}"
    return "\n".join(lines)


def _needles(secret: str) -> Iterator[_Needle]:
    if _is_loose(secret):
        yield _Needle(secret)
    if len(secret) >= _ENCODED_FROM:
        raw = secret.encode(errors="replace")
        yield from (_Needle(_base64_of(raw, before), encoded=True) for before in range(3))
        yield from map(_Needle, (raw.hex(), raw.hex().upper()))


def _is_loose(secret: str) -> bool:
    """Whether its letters and digits are enough to know it by; then they find it as it stands, too."""
    letters = _letters_of(secret).decode()
    return len(letters) >= _LOOSE_FROM and not letters.isalpha() and not letters.isdigit()


def _letters_of(text: str) -> bytes:
    """The letters and digits of a text, without its signs."""
    return text.encode("latin-1", "replace").translate(None, _OTHER)


def _places_of(text: str) -> "array[int]":
    """Where each of them stands."""
    return array("L", compress(range(len(text)), text.encode("latin-1", "replace").translate(_IS_LETTER)))


def _base64_of(raw: bytes, before: int) -> str:
    """The letters that `raw` alone decides where so many bytes of something else stand before it."""
    text = base64.b64encode(bytes(before) + raw).decode()
    return text[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6].strip("+/")


def _widened(text: str, span: Span) -> Span:
    """With up to two letters of base64 on either side, and what fills it up."""
    start, end = span
    while start > max(0, span[0] - 2) and text[start - 1] in _BASE64:
        start -= 1
    while end < min(len(text), span[1] + 2) and text[end] in _BASE64:
        end += 1
    while end < min(len(text), span[1] + 4) and text[end] == "=":
        end += 1
    return start, end


def _merged(places: Iterable[Span]) -> list[Span]:
    """Places in order, those that overlap made one."""
    merged: list[Span] = []
    for start, end in sorted(places):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


# ── escapes ───────────────────────────────────────────────────────────────────────────────────────


def _views(text: str) -> Iterator["_View"]:
    """The text as it stands, and with its escapes undone once and more often."""
    view = _View(text)
    yield view
    for _ in range(_ROUNDS):
        parts, at, nested = [], 0, False
        for found in _escapes(view.text):
            meant = _meaning(found)
            nested = nested or meant in _SIGNS
            parts += [view.text[at : found.start()], meant]
            at = found.end()
        if not at:
            return
        view = _View("".join([*parts, view.text[at:]]), view)
        yield view
        if not nested:
            return


def _escapes(text: str) -> Iterator[re.Match[str]]:
    """Every escape, in order."""
    waiting = [found for escape in _ESCAPES if (found := escape.search(text))]
    while len(waiting) > 1:
        found = min(waiting, key=re.Match.start)
        yield found
        end = found.end()
        waiting = [
            later for one in waiting if (later := one if one.start() >= end else one.re.search(text, end))
        ]
    for last in waiting:
        yield from last.re.finditer(text, last.start())


class _View:
    """A text whose escapes are undone, and the way back, which is looked for once something is found."""

    def __init__(self, text: str, origin: "_View | None" = None) -> None:
        self.text, self._origin = text, origin

    def back(self, span: Span) -> Span:
        """A place in the text that all began with."""
        if self._origin is None:
            return span
        start, end = span
        starts, origins, lengths = self._between
        part = bisect_right(starts, start) - 1
        into = min(start - starts[part], lengths[part])
        last = bisect_right(starts, end - 1) - 1
        upto = end - starts[last]
        after = origins[last] + upto if upto <= lengths[last] else origins[last + 1]
        return self._origin.back((origins[part] + into, after))

    @cached_property
    def _between(self) -> "tuple[array[int], array[int], array[int]]":
        """Of each part between escapes, which keeps its length: where it begins here, where it does in the
        view that this was made of, and how long it is."""
        assert self._origin
        starts, origins, lengths = array("q"), array("q"), array("q")
        at = place = 0
        for found in _escapes(self._origin.text):
            starts.append(place)
            origins.append(at)
            lengths.append(found.start() - at)
            place += lengths[-1] + len(_meaning(found))
            at = found.end()
        starts.append(place)
        origins.append(at)
        lengths.append(len(self._origin.text) - at)
        return starts, origins, lengths


def _meaning(found: re.Match[str]) -> str:
    """What an escape stands for."""
    return _meant(found[0], found.lastgroup)


@lru_cache(4096)
def _meant(written: str, kind: str | None) -> str:
    match kind:
        case "letter":
            return _SHORT.get(written[1], written[1])
        case "number":
            return "\n"
        case "code":
            code = int(written.strip("\\%uUx{}"), 16)
            return chr(code) if code < 0x110000 else ""
        case "octals":
            return bytes(int(code, 8) for code in written[1:].split("\\")).decode("utf-8", "replace")
        case "bytes":
            return bytes.fromhex(re.sub(r"[%\\x]", "", written)).decode("utf-8", "replace")
        case _:
            return html.unescape(written)
