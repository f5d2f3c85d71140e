"""`sera dataset build`: build a training set from runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import FILE, PATH, FloatRange, IntRange, console, table, tell_flaws
from sera.cli.dataset.students import reading, student_option

if TYPE_CHECKING:
    from sera.datasets import Manifest


@click.command(
    epilog="""\b
Examples:
  sera dataset build run --out data --tokenizer tokenizer.json
  sera dataset build run-1 run-2 --out data --format xml --min-recall 0.5
  sera dataset build run --out data --recipe "3000 T2 r>=0.5 + 5000 T1" --seed 7
  sera dataset build run --out data --recipe sera-32b --allow-short
  sera dataset build run --out data --benchmark swe-bench.jsonl --set near.patches=0.8
A build that was interrupted goes on where it was with the same command.
Without --tokenizer the file named in SERA_TOKENIZER is used, or Qwen3's if a package with it is
installed."""
)
@click.argument("runs", type=PATH, nargs=-1, required=True, metavar="RUN…")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="The dataset's folder.")
@click.option(
    "--format", "format_", type=click.Choice(["hermes", "xml", "raw"]), help="How calls are written."
)
@click.option(
    "--recipe", metavar="RECIPE", help="How many of which, e.g. '3000 T2 r>=0.5 + 5000 T1', or a name."
)
@click.option(
    "--allow-short", is_flag=True, default=None, help="Take what there is if a recipe asks for more."
)
@click.option("--exclude", multiple=True, metavar="ID", help="A sample to leave out; may be repeated.")
@click.option("--seed", type=int, metavar="S", help="Seed of every choice between samples.  [default: 0]")
@click.option(
    "--max-row-tokens",
    "max_tokens",
    type=IntRange(1),
    help="Longest row: the student's context.  [default: 32768]",
)
@click.option("--min-recall", type=FloatRange(0, 1), metavar="R", help="Lowest r of a T2.  [default: 0.5]")
@click.option("--max-patch-lines", type=IntRange(1), help="Most changed lines of a patch.  [default: 40]")
@click.option(
    "--max-tool-tokens", type=IntRange(1), help="Highest mean length of a tool's output.  [default: 600]"
)
@click.option(
    "--min-ratio", type=FloatRange(0, 1), help="Lowest share of a trajectory that must fit.  [default: 0.88]"
)
@click.option(
    "--stages", multiple=True, type=click.Choice(["t1", "t2"]), help="Rollouts to take; may be repeated."
)
@click.option(
    "--benchmark",
    "benchmarks",
    multiple=True,
    type=FILE,
    metavar="JSONL",
    help="Instances that must not be learnt; may be repeated.",
)
@click.option("--held-out", type=FILE, metavar="LIST", help="Modules and functions that must not be learnt.")
@click.option(
    "--canaries",
    type=IntRange(0),
    metavar="N",
    help="Sentences to plant, to measure what is memorised.",
)
@click.option("--canary-seed", type=int, metavar="S", help="Decides where they stand and what they say.")
@student_option
@click.option("--tokenizer", type=FILE, help="The student's tokenizer.json.")
@click.option("--template", metavar="FILE", help="Its chat template, or chatml.")
@click.option(
    "--think", type=click.Choice(["keep", "drop", "only", "wrap"]), help="What becomes of reasoning."
)
@click.option("--force", is_flag=True, help="Write a dataset also if it does not pass its proofs.")
@click.option(
    "--workers", type=IntRange(0), metavar="N", help="Processes at work; default: one for each core."
)
@click.option("--config", "file", type=FILE, help="Settings in TOML.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
def command(
    runs: tuple[Path, ...],
    out: Path,
    format_: str | None,
    stages: tuple[str, ...],
    exclude: tuple[str, ...],
    benchmarks: tuple[Path, ...],
    held_out: Path | None,
    canaries: int | None,
    canary_seed: int | None,
    student: str,
    tokenizer: Path | None,
    force: bool,
    file: Path | None,
    pairs: tuple[str, ...],
    **options: int | float | str | None,
) -> None:
    """Build a training set in DIR from the pairs of one or several runs.

    Every sample that is left out is counted under a reason and listed in rejected.jsonl.
    """
    from sera.datasets import DatasetConfig, build_dataset
    from sera.datasets.inputs import open_inputs
    from sera.settings import load_config

    given = {
        **options,
        "format": format_,
        "stages": stages or None,
        "exclude": exclude or None,
        "safety.canaries": canaries,
        "safety.canary_seed": canary_seed,
        "benchmarks.files": [str(path) for path in benchmarks] or None,
        "held_out": held_out and str(held_out),
        **{key: value or None for key, value in reading(student, str(tokenizer or "")).items()},
    }
    config = load_config(DatasetConfig, file, pairs, given)
    samples, sources = open_inputs(runs, tell_flaws)
    manifest = build_dataset(samples, out, config, sources, force)
    _print(out, manifest)


def _print(out: Path, manifest: "Manifest") -> None:
    from sera.datasets.card import told_alteration

    rows = []
    for stage, count in manifest.counts.items():
        rows.append((count.selected, stage, "selected"))
        rows += [(number, stage, reason) for reason, number in count.rejected.items()]
    page = console()
    page.print(table("Samples", ["count", "stage", ""], rows, ["count"]))
    for part in manifest.recipe.parts if manifest.recipe else ():
        page.print(f"recipe: {part.part}: {part.got}; asked of each sample: {part.filters}")
    page.print(
        f"{out}: {manifest.rows} rows, {manifest.tokens.total:,} tokens, "
        f"the longest {manifest.tokens.max:,}, {manifest.cut_rows} cut"
    )
    faults = {
        name.removeprefix("call/"): n for name, n in manifest.tallies.items() if name.startswith("call/")
    }
    if faults:
        told = ", ".join(f"{number:,} {fault}" for fault, number in faults.items())
        page.print(f"turns with calls that the tools do not define, none of them trained on: {told}")
    if manifest.rehearsal:
        page.print(manifest.rehearsal)
    if manifest.altered:
        page.print(told_alteration(manifest))
    page.print(f"rows: {out / 'train.jsonl'}; left out and why: {out / 'rejected.jsonl'}")
