"""A row on a terminal. What is in the loss is green and stands behind a bar, so that paper shows it too.

── 3 assistant ── trained · 41 tokens, 38 in the loss
┃ <tool_call>
"""

from collections.abc import Iterator

from rich.text import Text

from sera.datasets.look.view import Piece, TurnView, View
from sera.visible import shortened, visible

_LINE = 2_000
"""Characters of a line that are shown."""
_BAR, _NO_BAR = "┃ ", "  "
_ROLES = {"system": "magenta", "user": "cyan", "assistant": "bold green"}
_TRAINED, _TRAINED_OTHER = "green", "bold green underline"
_CONTEXT, _CONTEXT_OTHER = "default", "underline"
"""Every other token is underlined where tokens are told apart."""


def view_text(view: View, tokens: bool = False, turns: tuple[int, int] | None = None) -> Text:
    """The row: its figures, then its turns, or those from the first number to the second. `tokens` shows
    where one token ends and the next begins."""
    text = Text(f"row {view.number}: {visible(view.id)}\n", style="bold")
    for label, value in view.facts:
        text.append(f"  {label:<17}", style="dim").append(f"{visible(value)}\n", style="default")
    for turn in view.turns:
        if turns is None or turns[0] <= turn.number <= turns[1]:
            _append(text, turn, tokens)
    return text


def _append(text: Text, turn: TurnView, tokens: bool) -> None:
    text.append(f"\n── {turn.number} {visible(turn.role)} ", style=_ROLES.get(turn.role, "bold"))
    text.append(f"── {turn.state} · {turn.size}\n", style="dim")
    for line in _lines(turn, tokens):
        trained = any(style in (_TRAINED, _TRAINED_OTHER) for _, style in line)
        text.append(_BAR if trained else _NO_BAR, style=_TRAINED)
        left = _LINE
        for part, style in line:
            if left > 0:
                text.append(shortened(part, left), style=style)
            left -= len(part)
        text.append("\n")


def _lines(turn: TurnView, tokens: bool) -> Iterator[list[tuple[str, str]]]:
    """The lines of a turn, each as styled parts."""
    line: list[tuple[str, str]] = []
    for part, style in _parts(turn.pieces, tokens):
        head, *rest = part.split("\n")
        line.append((head, style))
        for other in rest:
            yield line
            line = [(other, style)]
    if any(part for part, _ in line):
        yield line


def _parts(pieces: tuple[Piece, ...], tokens: bool) -> Iterator[tuple[str, str]]:
    number = 0
    for piece in pieces:
        plain, other = (_TRAINED, _TRAINED_OTHER) if piece.trained else (_CONTEXT, _CONTEXT_OTHER)
        for part in piece.tokens if tokens and piece.tokens else (piece.text,):
            number += 1
            yield visible(part), other if tokens and number % 2 else plain
