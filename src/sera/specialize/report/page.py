"""The page: one file, no script, nothing loaded from elsewhere, everything that is not ours escaped."""

from collections.abc import Iterator
from importlib.resources import files

from sera.datasets.look import html
from sera.datasets.look.plotting import as_svg, drawing
from sera.datasets.look.tables import Table
from sera.errors import RunError, UsageError, boundary
from sera.runs.folder import replace
from sera.specialize.plan import Places, Request, make_plan
from sera.specialize.report import tables
from sera.specialize.report.examples import examples
from sera.specialize.report.figures import draw
from sera.specialize.report.findings import Findings, gather
from sera.specialize.stage import Stage


def write_report(request: Request) -> None:
    """Write `report.html` from what is in the folder. `RunError` if it cannot be written."""
    stages = make_plan(request)
    found = gather(request.out, stages.values())
    page = report_page(request, stages, found)
    with boundary(RunError, f"cannot write into {request.out}"):
        request.out.mkdir(parents=True, exist_ok=True)
    replace(Places(request.out).report, page.encode())


def report_page(request: Request, stages: dict[str, Stage], found: Findings) -> str:
    """The whole page. Sections about what is not there are left out."""
    title = f"{tables.name_of(request, found)}: what {request.config.student} has learnt"
    figures, note = _figures(found)
    sections = [
        ("results", "Results", _join(figures.get("resolved", ""), _tables(tables.rates(found)))),
        ("calls", "Tool calls", _join(figures.get("calls", ""), _tables(tables.behaviour(found)))),
        ("examples", "Won and lost", examples(found)),
        ("training", "Training", _join(figures.get("loss", ""), _tables(tables.training(found)))),
        ("data", "Data", _join(figures.get("recall", ""), _tables(tables.data(found)))),
        ("audit", "Audit", _tables(tables.audit(found))),
        ("cost", "Cost", _tables(tables.cost(stages, found))),
        ("repeat", "To repeat it", _repeat(request, stages, found)),
    ]
    shown = [(key, name, body) for key, name, body in sections if body]
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name, _ in shown)
    body = "\n".join(
        [
            f"<h1>{html.text(title)}</h1>",
            f'<p class="headline">{html.text(tables.headline(found))}</p>',
            f"<p><strong>{html.text(said)}.</strong></p>" if (said := tables.warning(found)) else "",
            note,
            html.facts(tables.facts(found)),
            f'<nav aria-label="Sections"><ul>{links}</ul></nav>',
            *(_section(key, name, body) for key, name, body in shown),
        ]
    )
    return html.page(title, body, (files("sera.specialize.report") / "style.css").read_text("utf-8"))


def _section(key: str, name: str, body: str) -> str:
    heading = f'<h2 id="{key}-title">{name}</h2>'
    return f'<section id="{key}" aria-labelledby="{key}-title">{heading}\n{body}\n</section>'


def _figures(found: Findings) -> tuple[dict[str, str], str]:
    """Figures as HTML by name, and what is to be said where they cannot be drawn."""
    try:
        with drawing():
            drawn = {
                plot.name: html.figure(plot.caption, as_svg(plot.figure, plot.name)) for plot in draw(found)
            }
    except UsageError as missing:
        return {}, f'<p class="quiet">There are no figures on this page: {html.text(missing)}</p>'
    return drawn, ""


def _join(*parts: str) -> str:
    """Those that have something, side by side where there is room."""
    told = "\n".join(part for part in parts if part)
    return f'<div class="grid">{told}</div>' if told else ""


def _tables(every: Iterator[Table]) -> str:
    return "\n".join(html.table(one.title, one.head, one.rows, one.numbers) for one in every if one.rows)


def _repeat(request: Request, stages: dict[str, Stage], found: Findings) -> str:
    """The commands, the settings, and the versions."""
    whole = tables.shell(("sera", *request.repeat))
    each = "\n".join(tables.shell(("sera", *stage.argv)) for stage in stages.values())
    settings = "\n".join(tables.settings(request.config)) or "all as the commands have them"
    return "\n".join(
        [
            f'<h3>All of it</h3>\n<pre class="plain">{html.text(whole)}</pre>',
            f'<h3>Stage by stage</h3>\n<pre class="plain">{html.text(each)}</pre>',
            f'<h3>What was set</h3>\n<pre class="plain">{html.text(settings)}</pre>',
            _tables(tables.identities(found)),
        ]
    )
