"""`sera dataset build`: build a training set from runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import FILE, PATH, console, table

if TYPE_CHECKING:
    from sera.datasets import Manifest


@click.command(
    epilog="""\b
Examples:
  sera dataset build run --out data --tokenizer tokenizer.json
  sera dataset build run-1 run-2 --out data --format xml --min-recall 0.5
Without --tokenizer the file named in SERA_TOKENIZER is used, or Qwen3's if a package with it is
installed."""
)
@click.argument("runs", type=PATH, nargs=-1, required=True, metavar="RUN…")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="The dataset's folder.")
@click.option(
    "--format", "format_", type=click.Choice(["hermes", "xml", "raw"]), help="How calls are written."
)
@click.option("--max-tokens", type=click.IntRange(1), help="Context of the student, template included.")
@click.option("--min-recall", type=click.FloatRange(0, 1), metavar="R", help="Lowest r of a T2 trajectory.")
@click.option("--max-patch-lines", type=click.IntRange(1), help="Most changed lines of a patch.")
@click.option("--max-tool-tokens", type=click.IntRange(1), help="Highest average length of a tool's output.")
@click.option("--min-ratio", type=click.FloatRange(0, 1), help="Lowest share of a trajectory that must fit.")
@click.option(
    "--stages", multiple=True, type=click.Choice(["t1", "t2"]), help="Rollouts to take; may be repeated."
)
@click.option("--tokenizer", type=FILE, help="The student's tokenizer.json.")
def command(
    runs: tuple[Path, ...],
    out: Path,
    format_: str | None,
    stages: tuple[str, ...],
    tokenizer: Path | None,
    **options: int | float | None,
) -> None:
    """Build a training set in DIR from the pairs of one or several runs.

    Every sample that is left out is counted under a reason and listed in rejected.jsonl.
    """
    from sera.datasets import DatasetConfig, build_dataset
    from sera.datasets.from_runs import read_samples, source_of
    from sera.runs import read_run
    from sera.settings import load_config

    given = {
        **options,
        "format": format_,
        "stages": stages or None,
        "tokenizer": tokenizer and str(tokenizer),
    }
    config = load_config(DatasetConfig, given=given)
    opened = [read_run(run) for run in runs]
    manifest = build_dataset(read_samples(opened), out, config, [source_of(run) for run in opened])
    _print(out, manifest)


def _print(out: Path, manifest: "Manifest") -> None:
    rows = []
    for stage, count in manifest.counts.items():
        rows.append((count.selected, stage, "selected"))
        rows += [(number, stage, reason) for reason, number in count.rejected.items()]
    page = console()
    page.print(table("Samples", ["count", "stage", ""], rows, ["count"]))
    page.print(
        f"{out}: {manifest.rows} rows, {manifest.tokens.total:,} tokens, "
        f"the longest {manifest.tokens.max:,}, {manifest.cut_rows} cut"
    )
    page.print(f"rows: {out / 'train.jsonl'}; left out and why: {out / 'rejected.jsonl'}")
