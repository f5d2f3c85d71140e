"""`sera tasks`: tasks of the own repository, for an evaluation."""

import click

from sera.cli.lazy import LazyGroup

_COMMANDS = {
    "build": "Make tasks of a repository: bugs put into it, and bugs of its history.",
    "show": "List a set of tasks, or show one of them.",
    "check": "See that gold patches resolve their tasks, and that nothing else does.",
}


@click.command(
    cls=LazyGroup,
    package=__name__,
    members=_COMMANDS,
    epilog="""\b
Examples:
  sera prepare ./my-project
  sera tasks build ./my-project --out tasks
  sera tasks check tasks""",
)
def command() -> None:
    """Tasks of the own repository, for an evaluation."""
