"""The figures of a dataset as tables, for a terminal and for a page alike."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sera.datasets.look.statistics import Spread, Statistics
from sera.datasets.manifest import Manifest

_MOST = 15
"""Lines of a table of names; the rest is summed up."""
_COLUMNS = ("0", "0.1", "0.25", "0.5", "0.75", "0.9", "0.99", "1")
_HEADS = ("least", "10 %", "25 %", "median", "75 %", "90 %", "99 %", "most")


class Table(NamedTuple):
    """One table. Cells are text; columns of `numbers` are right-aligned."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()
    """For a bar behind each row, 0…1; empty for none."""


def facts(statistics: Statistics, manifest: Manifest) -> list[tuple[str, str]]:
    """What is said in one number."""
    loss, tokens = statistics.loss, manifest.tokens
    pairs = [
        ("rows", f"{statistics.rows:,}"),
        ("tokens", f"{tokens.total:,}"),
        ("longest row", f"{tokens.max:,} tokens"),
        ("cut rows", f"{statistics.cut_rows:,}"),
        ("trained turns", f"{loss.trained_turns:,}"),
        ("untrained turns", f"{loss.untrained_turns:,}"),
        ("text in the loss", _percent(loss.trained_characters, loss.characters)),
    ]
    if loss.tokens:
        inside = loss.trained_tokens or 0
        pairs.append(
            ("tokens in the loss", f"{inside:,} of {loss.tokens:,}, {_percent(inside, loss.tokens)}")
        )
    return pairs


def tables(statistics: Statistics, manifest: Manifest) -> Iterator[Table]:
    """Every table that has something to say."""
    yield _spreads(statistics)
    yield _names("Rows by stage", "stage", statistics.stages)
    yield _recall(statistics)
    for title, head, counts in (
        ("Rows by repository", "repository", statistics.repositories),
        ("Rows by category", "category", statistics.categories),
        ("Rows by module", "module", statistics.modules),
        ("Rows by teacher", "teacher", statistics.teachers),
        ("Calls by tool", "tool", statistics.tools),
    ):
        yield _names(title, head, counts)
    yield _outcomes(manifest)
    yield from _safety(manifest)


def _spreads(statistics: Statistics) -> Table:
    spreads: list[tuple[str, Spread | None, int]] = [
        ("tokens", statistics.tokens, 0),
        ("assistant turns", statistics.steps, 0),
        ("r", statistics.recall, 3),
        ("ratio", statistics.ratio, 3),
        ("changed lines", statistics.patch_lines, 0),
    ]
    rows = [
        (
            name,
            f"{found.mean:,.{max(digits, 1)}f}",
            *(f"{found.quantiles[key]:,.{digits}f}" for key in _COLUMNS),
        )
        for name, found, digits in spreads
        if found
    ]
    return Table("Of a row", ("", "mean", *_HEADS), rows, tuple(range(1, 10)))


def _recall(statistics: Statistics) -> Table:
    counts = {f"{n / 10:.1f} – {(n + 1) / 10:.1f}": count for n, count in enumerate(statistics.recall_bins)}
    return _counted("Rows by r", ("r", "rows"), counts.items())


def _names(title: str, head: str, counts: Mapping[str, int]) -> Table:
    """The most frequent names; the mapping is in that order."""
    shown = list(counts.items())[:_MOST]
    if rest := len(counts) - len(shown):
        shown.append((f"{rest:,} others", sum(counts.values()) - sum(count for _, count in shown)))
    return _counted(title, (head, "number"), shown)


def _counted(title: str, head: tuple[str, str], counts: Iterable[tuple[str, int]]) -> Table:
    found = list(counts)
    most = max((count for _, count in found), default=0) or 1
    rows = [(name or "(none)", f"{count:,}") for name, count in found]
    return Table(title, head, rows, (1,), tuple(count / most for _, count in found))


def _outcomes(manifest: Manifest) -> Table:
    rows = []
    for stage, count in manifest.counts.items():
        rows.append((stage, "selected", f"{count.selected:,}"))
        rows += [(stage, reason, f"{number:,}") for reason, number in count.rejected.items()]
    return Table("Samples and what became of them", ("stage", "outcome", "samples"), rows, (2,))


def _safety(manifest: Manifest) -> Iterator[Table]:
    licences = {source.repository: source.licence for source in manifest.sources}
    yield Table("Licences of the repositories", ("repository", "licence"), sorted(licences.items()))
    parts = [(name.split("/"), number) for name, number in manifest.row_tallies.items()]
    files = sorted(((p[1], number) for p, number in parts if p[0] == "licence"), key=lambda pair: -pair[1])
    if files:
        yield _counted("Files changed or shown, by licence, once for each row", ("licence", "files"), files)
    calls = sorted((part[1], number) for part, number in parts if part[0] == "call")
    if calls:
        yield _counted(
            "Turns not trained: their calls are not those that the tools define", ("fault", "turns"), calls
        )
    yield Table("Found by the scan", ("kind", "action", "values", "rows", "places"), _scan(parts), (2, 3))
    if manifest.canaries:
        rows = [(canary.row, canary.prompt.strip(), canary.secret) for canary in manifest.canaries[:_MOST]]
        yield Table(f"Canaries: {len(manifest.canaries):,}", ("row", "prompt", "secret"), rows)


def _scan(parts: list[tuple[list[str], int]]) -> list[tuple[str, ...]]:
    found: dict[tuple[str, str], dict[str, int]] = {}
    for part, number in parts:
        if part[0] == "scan":
            found.setdefault((part[1], part[2]), {})["/".join(part[3:])] = number
    return [
        (
            kind,
            action,
            f"{counts.get('values', 0):,}",
            f"{counts['rows']:,}" if "rows" in counts else "",
            ", ".join(f"{key[3:]} {count:,}" for key, count in counts.items() if key.startswith("in/")),
        )
        for (kind, action), counts in sorted(found.items())
    ] or [("nothing", "", "0", "0", "")]


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0 %"
