"""Rows as one HTML page: what is in the loss is tinted, underlined, and said to a screen reader."""

from collections.abc import Sequence

from sera.datasets.look import html
from sera.datasets.look.view import Piece, TurnView, View

_CLASSES = {None: "turn", True: "turn trained", False: "turn untrained"}
_BEGIN = '<span class="unseen">[in the loss: </span>'
_END = '<span class="unseen">]</span>'


def sample_page(name: str, views: Sequence[View], tokens: bool = False) -> str:
    """The page of these rows of the dataset `name`; of several all but the first are folded up."""
    title = f"{name}: row {views[0].number}" if len(views) == 1 else f"{name}: {len(views)} rows"
    if any(piece.tokens for view in views for turn in view.turns for piece in turn.pieces):
        marked = "As the student sees it. Tokens in the loss are tinted and underlined."
    else:
        marked = "As recorded, without a tokenizer. Messages that are trained on are tinted and underlined."
    parts = [f"<h1>{html.text(title)}</h1>", f'<p class="quiet">{marked}</p>']
    if len(views) == 1:
        parts.append(_body(views[0], tokens))
    else:
        parts += [_folded(view, tokens, number == 0) for number, view in enumerate(views)]
    return html.page(title, "\n".join(parts))


def _folded(view: View, tokens: bool, opened: bool) -> str:
    state = " open" if opened else ""
    where = dict(view.facts)
    about = " · ".join(where[key] for key in ("stage", "module", "function") if key in where)
    summary = f"<summary>row {view.number}: {html.text(view.id)} – {html.text(about)}</summary>"
    return f'<details class="row" id="row-{view.number}"{state}>{summary}\n{_body(view, tokens)}\n</details>'


def _body(view: View, tokens: bool) -> str:
    about = html.facts([("id", view.id), *view.facts])
    return "\n".join([about, *(_turn(view, turn, tokens) for turn in view.turns)])


def _turn(view: View, turn: TurnView, tokens: bool) -> str:
    name = f"row-{view.number}-turn-{turn.number}"
    content = "".join(_piece(piece, tokens) for piece in turn.pieces)
    return (
        f'<section class="{_CLASSES[turn.train]}" id="{name}" aria-labelledby="{name}-head">'
        f'<header><h3 id="{name}-head"><a href="#{name}">{turn.number}</a> {html.text(turn.role)}</h3>'
        f'<span class="badge">{turn.state}</span><span class="quiet">{turn.size}</span></header>'
        f'<pre tabindex="0" aria-labelledby="{name}-head">{content}</pre></section>'
    )


def _piece(piece: Piece, tokens: bool) -> str:
    if tokens and piece.tokens:
        content = "".join(f'<span class="token">{html.text(token)}</span>' for token in piece.tokens if token)
    else:
        content = html.text(piece.text)
    return f"<mark>{_BEGIN}{content}{_END}</mark>" if piece.trained else content
