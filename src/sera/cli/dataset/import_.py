"""`sera dataset import`: trajectories of other projects as an imported run."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import FILE, PATH, console, json_option, print_json

if TYPE_CHECKING:
    from sera.datasets.exchange.imported import ImportRecord
    from sera.datasets.exchange.imports import Known
    from sera.harness import Profile

FORMATS = (
    "swe-agent",
    "mini-swe-agent",
    "atif",
    "claude-code",
    "openhands",
    "sharegpt",
    "anthropic",
    "sera",
    "openai",
)


@click.command(
    epilog="""\b
Examples:
  sera dataset import trajectories/ --out imported
  sera dataset import ~/.claude/projects/-home-me-shop --submitted --repository me/shop --out imported
  sera dataset import t1.jsonl t2.jsonl --from sera --out imported
  sera dataset import rows.jsonl --from openai --submitted --patches preds.jsonl --out imported
  sera dataset build imported --out data --min-recall 0
  sera train data --harness imported --student qwen3-0.6b --out student
What is not told stays unknown: most formats know no recall, so a T2 needs --min-recall 0."""
)
@click.argument("files", type=PATH, nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--from",
    "origin",
    type=click.Choice(FORMATS),
    help="The format of the files; without it, each file's is recognised by its shape.",
)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="The imported run's folder.")
@click.option("--submitted", is_flag=True, help="Trajectories that do not tell their end were handed in.")
@click.option(
    "--stage",
    type=click.Choice(["t1", "t2"]),
    default="t2",
    show_default=True,
    help="Of trajectories that do not tell it.",
)
@click.option("--repository", default="", metavar="NAME", help="The repository they worked on, as published.")
@click.option("--commit", default="", help="Its commit.")
@click.option(
    "--harness",
    default="",
    metavar="NAME",
    help="The harness profile they were made with, if it is one of sera's: a name or a folder.",
)
@click.option("--tools", type=FILE, help="JSON list with the definitions of the tools that the agent had.")
@click.option("--patches", type=FILE, help="Predictions: the patch handed in for each instance.")
@json_option
def command(files: tuple[Path, ...], origin: str | None, out: Path, as_json: bool, **given: object) -> None:
    """Read trajectories of other projects into DIR, which `sera dataset build` takes beside runs.

    A FILE may be a folder, which stands for all files of the format below it. What is not taken is
    counted under a reason and listed in refused.jsonl.
    """
    from sera.datasets.exchange.imports import AUTO, import_trajectories
    from sera.generation.recall import compare
    from sera.harness import load_profile

    harness = str(given.pop("harness"))
    profile = load_profile(harness) if harness else None
    record = import_trajectories(files, out, origin or AUTO, _known(profile, given), compare, profile)
    if as_json:
        print_json(record)
    else:
        _print(out, record)


def _print(out: Path, record: "ImportRecord") -> None:
    page = console()
    page.print(
        f"{out}: {record.taken} trajectories from {len(record.files)} files, {len(record.sources)} sources; "
        f"read as {record.format}"
    )
    for reason, count in record.refused.items():
        page.print(f"not taken: {count} {reason}")
    for what, count in record.unknown.items():
        page.print(f"not told: {what}, of {count}")
    if record.lost:
        told = ", ".join(f"{count:,} {name}" for name, count in record.lost.items())
        page.print(f"not kept: {told}")
    if record.inferred:
        tools = ", ".join(f"{name} ({count:,})" for name, count in record.inferred.items())
        page.print(
            f"tools inferred from the calls: {tools}. They are in {out / 'harness.json'}: if the agent had "
            f"others, give --tools or --harness"
        )
    if len(record.profiles) > 1:
        most = max(record.profiles.values())
        page.print(
            f"{len(record.profiles):,} different sets of tools, one of them of {most:,} trajectories: a dataset has one. Import "
            f"those that belong together by themselves, or give the tools of all with --tools"
        )


def _known(profile: "Profile | None", given: dict[str, object]) -> "Known":
    """What the options say of all trajectories."""
    from typing import Any

    import msgspec

    from sera.datasets.exchange.definitions import told_tools
    from sera.datasets.exchange.imports import Known
    from sera.datasets.exchange.predictions import read_predictions
    from sera.datasets.exchange.trajectory import Refusal
    from sera.errors import UsageError, boundary

    tools, patches = given.pop("tools"), given.pop("patches")
    definitions: list[dict[str, Any]] = []
    if profile and tools:
        raise UsageError("--harness has tools of its own: leave out --tools")
    if profile:
        definitions = profile.tools
    elif isinstance(tools, Path):
        with boundary(UsageError, f"{tools} holds no tool definitions", OSError, UnicodeError, Refusal):
            definitions = told_tools(tools.read_text("utf-8")) or []
    return msgspec.convert(
        {
            **given,
            "tools": definitions,
            "profile": profile.hash if profile else "",
            "patches": read_predictions(patches) if isinstance(patches, Path) else {},
        },
        Known,
    )
