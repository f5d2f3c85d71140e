"""`sera tasks build`: tasks made of a repository."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import (
    FILE,
    PATH,
    IntRange,
    complain,
    console,
    duration,
    json_option,
    leave_out_option,
    print_json,
    table,
)

if TYPE_CHECKING:
    from sera.evaluation.tasks.record import Manifest


@click.command(
    epilog="""\b
Examples:
  sera tasks build ./my-project --out tasks
  sera tasks build ./my-project --out tasks --mutants 200 --history 0
  sera tasks build ./my-project --out tasks --set split.share=0.3 --set split.unit=module
The environment comes from sera prepare. The same command goes on where it was stopped; larger numbers add.
TASKS/held_out.txt says what must not be trained on: sera generate --held-out, and the held_out filter of
sera dataset build, take it."""
)
@click.argument("repo")
@click.option("--out", type=PATH, required=True, metavar="TASKS", help="Where the set is written.")
@click.option(
    "--mutants", type=IntRange(0), metavar="N", help="Tasks made by putting a bug in.  [default: 50]"
)
@click.option("--history", type=IntRange(0), metavar="N", help="Tasks made of commits.  [default: 10]")
@click.option(
    "--seed", type=int, metavar="N", help="Seed of the split, of functions and of bugs.  [default: 0]"
)
@leave_out_option
@click.option("--config", "file", type=FILE, help="Settings in TOML.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@json_option
def command(
    repo: str,
    out: Path,
    mutants: int | None,
    history: int | None,
    seed: int | None,
    leave_out: tuple[str, ...],
    file: Path | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make tasks of REPO for an evaluation: small bugs put into functions that its tests cover, and
    commits that changed source and tests together.

    Every task is tried in sandboxes before it counts: some of its tests fail, its gold patch makes all of them
    pass, and no patch does not.
    """
    import asyncio

    from sera.evaluation.tasks.build import build
    from sera.evaluation.tasks.config import TasksConfig
    from sera.settings import load_config

    given: dict[str, object] = {"mutants": mutants, "history": history, "seed": seed}
    given["leave_out"] = list(leave_out) or None
    config = load_config(TasksConfig, file, pairs, given)
    manifest = asyncio.run(build(repo, out, config, told=complain))
    if as_json:
        print_json(manifest)
    else:
        _print(manifest, out, config.mutants)


def _print(manifest: "Manifest", out: Path, wanted: int) -> None:
    screen = console()
    tried = sum(manifest.rejected.values()) + sum(manifest.counts.values())
    rows = [(f"{kind} tasks", count) for kind, count in manifest.counts.items()]
    rows += [(f"  {operator}", count) for operator, count in manifest.operators.items()]
    screen.print(table(f"{manifest.name}: tasks", ["kind", "number"], rows, ["number"]))
    screen.print(table("Not tasks", ["reason", "number"], manifest.rejected.items(), ["number"]))
    if manifest.flaky:
        screen.print(f"flaky tests, on which no task rests: {', '.join(manifest.flaky)}")
    if manifest.failing:
        screen.print(
            f"{len(manifest.failing)} tests fail on the tree as it is, {manifest.failing[0]} for one"
        )
    if manifest.counts.get("mutant", 0) < wanted:
        screen.print(f"fewer mutants than the {wanted} asked for: every function kept had its turns; "
                     "per_function, tries and split.share give more")  # fmt: skip
    split = manifest.split
    screen.print(
        f"kept for the evaluation: {len(split.evaluation)} of {len(split.evaluation) + len(split.training)} "
        f"{split.unit}s ({out / 'held_out.txt'})"
    )
    if split.training_commit:
        screen.print(
            f"what is trained on must not be newer: sera generate --set revision={split.training_commit}"
        )
    screen.print(
        f"{sum(manifest.counts.values())} tasks of {tried} tried in {duration(manifest.seconds)}: {out}; "
        "gold patches resolve all of them, empty patches none"
    )
