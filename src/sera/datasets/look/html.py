"""The frame of our pages: one file each, no script, nothing loaded from elsewhere, everything escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from sera.visible import visible

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<main id="content">
{body}
</main>
</body>
</html>
"""
_WIDE = 5
"""Columns from which on a table stands alone in its line."""


def page(title: str, body: str, more_style: str = "") -> str:
    """A whole page; `body` is HTML, `title` is text, `more_style` are rules after the common ones."""
    style = (files("sera.datasets.look") / "style.css").read_text("utf-8")
    return _PAGE.format(title=text(title), style=style + more_style, body=body)


def text(value: object) -> str:
    """Any value as HTML that shows it, hidden characters included."""
    return escape(visible(str(value)))


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Labelled values."""
    cells = "".join(f"<div><dt>{text(label)}</dt><dd>{text(value)}</dd></div>" for label, value in pairs)
    return f'<dl class="facts">{cells}</dl>'


def figure(caption: str, svg: str) -> str:
    """A figure of ours with its caption, which is also what is read out in its place."""
    marked = svg.replace("<svg ", f'<svg role="img" aria-label="{text(caption)}" ', 1)
    return f'<figure>{marked}<figcaption class="quiet">{text(caption)}</figcaption></figure>'


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[int] = ()
) -> str:
    """A table; columns of `numbers` are right-aligned."""
    right = set(numbers)

    def cells(tag: str, values: Sequence[object]) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        aligned = (' class="number"' if n in right else "" for n in range(len(values)))
        return "".join(
            f"<{tag}{scope}{side}>{text(value)}</{tag}>" for side, value in zip(aligned, values, strict=True)
        )

    width = "scroll wide" if len(head) > _WIDE else "scroll"
    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="{width}"><table><caption>{text(caption)}</caption>\n'
        f"<thead><tr>{cells('th', head)}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
