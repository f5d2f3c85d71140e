"""The look of our figures, in one place: one accent, thin lines, words in the page's own ink.

A figure is drawn in the colours of the light page. As SVG its colours become the variables of `style.css`, so
that it turns dark with its page; by itself it carries both sets of them. Text stays text.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sera.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, LINE, SHEET, ACCENT = "#20242c", "#5c6470", "#dcdad3", "#ffffff", "#2f8f5b"
_VARIABLES = {INK: "--ink", QUIET: "--quiet", LINE: "--line", SHEET: "--sheet", ACCENT: "--bar"}
_DARK = {
    "--ink": "#dde2ea",
    "--quiet": "#98a2b0",
    "--line": "#323842",
    "--sheet": "#1b1f25",
    "--bar": "#55c28c",
}
_SIZE = (6.4, 3.2)
_DOTS = 160
_SETTINGS = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": QUIET,
    "axes.facecolor": SHEET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": SHEET,
    "savefig.facecolor": SHEET,
}


def drawing() -> Any:
    """A context in which figures have our look; `UsageError` if the library is missing."""
    try:
        import matplotlib
    except ImportError as missing:
        raise UsageError('figures need a library: pip install "sera[plots]"') from missing
    return matplotlib.rc_context(_SETTINGS)  # type: ignore[arg-type]


def new_figure(across: str, up: str, height: float = _SIZE[1]) -> "tuple[Figure, Axes]":
    """An empty figure with the names of its axes, drawn without any window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_SIZE[0], height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes


def as_png(figure: "Figure") -> bytes:
    """On white, for where there is no page around it."""
    target = io.BytesIO()
    with _without_complaints():
        figure.savefig(target, format="png", dpi=_DOTS, metadata={"Software": None})
    return target.getvalue()


def as_svg(figure: "Figure", name: str) -> str:
    """Markup for the middle of a page. `name` keeps the ids of several figures apart."""
    import matplotlib

    target = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}), _without_complaints():
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    text = re.sub(r"\A.*?(?=<svg )", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'\bid="(?![mp][0-9a-f]{10}")([^"]*)"', rf'id="{name}-\1"', text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text


@contextmanager
def _without_complaints() -> Iterator[None]:
    """A name may hold letters that the font lacks: they are drawn as boxes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def standing_alone(svg: str) -> str:
    """The same as a file of its own, with both sets of colours."""
    light = "".join(f"{variable}:{colour};" for colour, variable in _VARIABLES.items())
    dark = "".join(f"{variable}:{colour};" for variable, colour in _DARK.items())
    style = f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    head, closing, rest = svg.partition(">")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}{closing}{style}{rest}'
