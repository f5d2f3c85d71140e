"""The figures of a dataset as one HTML page, the drawn ones inside it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sera.datasets.look import html
from sera.datasets.look.figures import draw
from sera.datasets.look.plotting import as_png, as_svg, drawing, standing_alone
from sera.datasets.look.statistics import Survey
from sera.datasets.look.tables import Table, facts, tables
from sera.datasets.manifest import Manifest

PAGE = "stats.html"


def write_plots(name: str, survey: Survey, manifest: Manifest, folder: Path) -> list[str]:
    """Write every figure as SVG and PNG, and the page that gathers them; returns the names of the files.

    Raises `UsageError` if the library for figures is missing, and `OSError` if the folder cannot be written.
    """
    statistics = survey.result()
    written, shown = [], []
    with drawing():
        folder.mkdir(parents=True, exist_ok=True)
        for plot in draw(statistics, survey.series):
            svg = as_svg(plot.figure, plot.name)
            (folder / f"{plot.name}.svg").write_text(standing_alone(svg), "utf-8")
            (folder / f"{plot.name}.png").write_bytes(as_png(plot.figure))
            written += [f"{plot.name}.svg", f"{plot.name}.png"]
            shown.append((plot.caption, svg))
    page = stats_page(name, facts(statistics, manifest), tables(statistics, manifest), shown)
    (folder / PAGE).write_text(page, "utf-8")
    return [*written, PAGE]


def stats_page(
    name: str,
    pairs: Iterable[tuple[str, str]],
    found: Iterable[Table],
    plots: Sequence[tuple[str, str]] = (),
) -> str:
    """The page; `plots` are captions and SVG markup of ours."""
    title = f"{name}: figures"
    figures = "\n".join(html.figure(caption, svg) for caption, svg in plots)
    listed = "\n".join(html.table(t.title, t.head, t.rows, t.numbers) for t in found)
    body = [
        f"<h1>{html.text(title)}</h1>",
        html.facts(pairs),
        f'<div class="grid">{figures}</div>',
        "<h2>Tables</h2>",
        f'<div class="grid">{listed}</div>',
    ]
    return html.page(title, "\n".join(body))
