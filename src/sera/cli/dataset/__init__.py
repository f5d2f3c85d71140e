"""`sera dataset`: build a training set from runs, and look at it."""

import click

from sera.cli.lazy import LazyGroup

_COMMANDS = {
    "build": "Build a training set from one or several runs.",
}


@click.command(
    cls=LazyGroup,
    package=__name__,
    members=_COMMANDS,
    epilog="""\b
Examples:
  sera dataset build run --out data --tokenizer tokenizer.json""",
)
def command() -> None:
    """Build a training set from runs, and look at it."""
