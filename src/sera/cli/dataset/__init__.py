"""`sera dataset`: build a training set from runs, and look at it."""

import click

from sera.cli.lazy import LazyGroup

_COMMANDS = {
    "build": "Build a training set from one or several runs.",
    "check": "Prove that a dataset trains what will be served.",
    "show": "List a dataset's rows, or show one with the tokens of the loss marked.",
    "stats": "Figures of a dataset: lengths, r, steps, tools, licences, what the scan found.",
    "import": "Read trajectories of other projects as an imported run.",
    "export": "Write a dataset for a trainer or a hub.",
    "push": "Upload a dataset to the Hugging Face Hub.",
}
_MODULES = {"import": "import_"}
"""A command whose name is a word of Python's."""


@click.command(
    cls=LazyGroup,
    package=__name__,
    members=_COMMANDS,
    modules=_MODULES,
    for_paths="build",
    epilog="""\b
Examples:
  sera dataset build run --out data --tokenizer tokenizer.json""",
)
def command() -> None:
    """Build a training set from runs, and look at it."""
