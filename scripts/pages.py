"""Writes the generated pages, docs/cli.md and docs/configuration.md, from the code itself.

`python scripts/pages.py` writes them; `--check` says which are out of date and exits with 1.
"""

import sys
from pathlib import Path

import click

from sera.cli import COMMANDS, cli
from sera.datasets import DatasetConfig
from sera.environments import PrepareConfig
from sera.evaluation.config import EvaluateConfig
from sera.evaluation.tasks.config import TasksConfig
from sera.generation.job import GenerateConfig
from sera.settings import knobs
from sera.specialize.config import SpecializeConfig
from sera.training import TrainConfig

DOCS = Path(__file__).parent.parent / "docs"
NOTE = "<!-- Written by scripts/pages.py: change the code, then run `make docs`. -->\n"


def cli_page() -> str:
    """The help of `sera` and of every command, as it is printed."""
    context = click.Context(cli, info_name="sera", max_content_width=100, terminal_width=100)
    parts = [f"# The command line\n\n{NOTE}\n```\n{cli.get_help(context)}\n```"]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        parts += help_of(command, name, context)
    return "\n\n".join(parts) + "\n"


def help_of(command: click.Command, name: str, parent: click.Context) -> list[str]:
    """The section of a command, and those of the commands inside it."""
    context = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
    sections = [f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```"]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            member = command.get_command(context, inner)
            assert member is not None
            sections += help_of(member, inner, context)
    return sections


def configuration_page() -> str:
    """Every setting with its default and its reason."""
    return "\n".join(
        [
            f"# Settings\n\n{NOTE}",
            "Given in a TOML file, or another run's `run.json` (`--config`), or one by one "
            "(`--set key=value`); unknown keys are refused.",
            "The resolved settings of a run are saved in its `run.json`.\n",
            section("sera generate", GenerateConfig),
            section("sera prepare", PrepareConfig),
            section("sera tasks build", TasksConfig),
            section("sera dataset build", DatasetConfig),
            section("sera evaluate", EvaluateConfig),
            section("sera train", TrainConfig),
            section("sera specialize", SpecializeConfig),
        ]
    )


def section(title: str, kind: type) -> str:
    """One table of settings."""
    rows = [f"| `{knob.key}` | {knob.type} | `{knob.default}` | {knob.text} |" for knob in knobs(kind)]
    return "\n".join([f"## {title}\n", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def main() -> int:
    pages = {"cli.md": cli_page(), "configuration.md": configuration_page()}
    stale = [
        name
        for name, text in pages.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text("utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        print("\n".join(f"docs/{name} is out of date: run `make docs`" for name in stale))
        return bool(stale)
    for name in stale:
        (DOCS / name).write_text(pages[name], "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
