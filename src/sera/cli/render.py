"""What `show` and `recall` print: messages, diffs and the comparison of two patches."""

from collections.abc import Iterable
from textwrap import indent
from typing import TYPE_CHECKING

from rich.text import Text

from sera.records import Agreement, Message
from sera.visible import one_line

if TYPE_CHECKING:
    from sera.generation.recall import LineMatch

_ROLE_STYLES = {"system": "dim", "user": "cyan", "assistant": "green", "tool": "default"}
_SIGN_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def message_text(message: Message, lines: int | None) -> Text:
    """One message; content longer than `lines` is cut, with a note."""
    text = Text(f"── {message.role}\n", style=f"bold {_ROLE_STYLES.get(message.role, 'default')}")
    if message.reasoning:
        text.append(within(_cut(message.reasoning, lines)) + "\n", style="italic dim")
    if message.content:
        text.append(
            within(_cut(message.content, lines)) + "\n", style=_ROLE_STYLES.get(message.role, "default")
        )
    for call in message.tool_calls:
        text.append(f"→ {call.name} ", style="bold yellow").append(
            _cut(call.arguments, lines) + "\n", style="yellow"
        )
    return text


def within(text: str) -> str:
    """Text of a record, set in, so that none of its lines can be taken for a heading of ours."""
    return indent(text, "  ", lambda _: True)


def diff_text(diff: str) -> Text:
    """A diff with added and removed lines coloured."""
    text = Text()
    for line in diff.split("\n"):
        text.append(line + "\n", style=_SIGN_STYLES.get(line[:1], "default"))
    return text


def matches_text(matches: Iterable["LineMatch"]) -> Text:
    """The changed lines of the first patch: `=` where the second has the same, `·` where not."""
    text, file = Text(), None
    for match in matches:
        if match.file != file:
            file = match.file
            text.append(f"{one_line(file)}\n", style="bold")
        style = "green" if match.matched else "dim"
        text.append(f"  {'=' if match.matched else '·'} {match.sign}{match.text}\n", style=style)
    return text


def agreement_text(agreement: Agreement) -> str:
    """The figures of a comparison in one paragraph."""
    from sera.generation.recall import verification

    return (
        f"r = {agreement.recall:.3f} ({verification(agreement.recall)}): {agreement.common} of "
        f"{agreement.lines_a} changed lines are found again among {agreement.lines_b}; "
        f"precision {agreement.precision:.3f}, F1 {agreement.f1:.3f}, by file {agreement.file_recall:.3f}, "
        f"by place {agreement.place_recall:.3f}"
    )


def _cut(text: str, lines: int | None) -> str:
    parts = text.split("\n")
    if lines is None or len(parts) <= lines:
        return text
    return "\n".join(parts[:lines]) + f"\n[{len(parts) - lines} more lines; --full shows them]"
