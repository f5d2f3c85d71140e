"""Control characters, which a student would learn to write if it were shown them.

Of what a command printed, `printed` is what a terminal would leave on the screen, line by line: escape
sequences do nothing but erase within the line, a backspace and a carriage return go back and are written
over. Moves of the cursor to other lines are left out. Of what a file holds nothing may be left out, or it
could not be edited by what was seen: `shown` puts a sign of its own in the place of each (`␛`, `␀`,
`⟨U+0085⟩`), and `meant` puts them back. Line feeds and tabs stay. All of it is linear work.
"""

import re

_PICTURES = 0x2400
_SIGNS = {
    **{chr(code): chr(_PICTURES + code) for code in range(0x20) if chr(code) not in "\n\t"},
    "\x7f": "␡",
    **{chr(code): f"⟨U+{code:04X}⟩" for code in range(0x80, 0xA0)},
}
_SHOWN = str.maketrans(_SIGNS)
_CONTROLS = {sign: control for control, sign in _SIGNS.items()}
_SIGN = re.compile("[␀-␈␋-␟␡]|⟨U\\+00[89][0-9A-F]⟩")
_STEERS = re.compile("[\x08\r\x1b\x90\x98\x9b\x9d-\x9f]")
_TOKEN = re.compile(
    r"""
    (?P<text>[^\x08\r\x1b\x90\x98\x9b\x9d-\x9f]++)
  | (?:\x1b\[|\x9b)(?P<given>[0-?]*+)[ -/]*+(?P<order>[@-~])        # cursor, colours
  | (?:\x1b\]|\x9d)[^\x07\x1b\x90-\x9f]*+(?:\x07|\x1b\\|\x9c)            # titles, links
  | (?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x90-\x9f]*+(?:\x1b\\|\x9c)   # other strings
  | \x1b[ -/]++[0-~]                                                # character sets
  | \x1b[0-~]
  | (?P<control>.)
    """,
    re.VERBOSE,
)


def printed(text: str) -> str:
    """What a command printed, as it would be read on a screen; other control characters are shown."""
    if _STEERS.search(text):
        text = "\n".join(map(_on_screen, text.split("\n")))
    return shown(text)


def shown(text: str) -> str:
    """The text with each control character as a sign."""
    return text.translate(_SHOWN)


def meant(text: str) -> str:
    """The text of which this is shown, if what it is taken from held none of the signs."""
    return _SIGN.sub(lambda sign: _CONTROLS[sign[0]], text)


def _on_screen(line: str) -> str:
    cells: list[str] = []
    at = 0
    for token in _TOKEN.finditer(line):
        text, order, given = token["text"], token["order"], token["given"]
        if text:
            cells[at : at + len(text)] = text
            at += len(text)
        elif token[0] == "\r" or (order == "G" and given in ("", "1")):
            at = 0
        elif token[0] == "\b":
            at = max(at - 1, 0)
        elif token["control"]:
            cells[at : at + 1] = token[0]
            at += 1
        elif order in ("J", "K") and given in ("", "0"):
            del cells[at:]
        elif order == "K" and given == "2":
            cells.clear()
            at = 0
    return "".join(cells)
