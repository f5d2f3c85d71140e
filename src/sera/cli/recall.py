"""`sera recall`: the patch comparison alone."""

from pathlib import Path

import click

from sera.cli.common import FILE, console, json_option, print_json


@click.command(
    epilog="""\b
Examples:
  sera recall first.diff second.diff
  git diff main | sera recall first.diff /dev/stdin --json"""
)
@click.argument("p1", type=FILE)
@click.argument("p2", type=FILE)
@json_option
def command(p1: Path, p2: Path, as_json: bool) -> None:
    """How much of the patch P1 is found again in the patch P2.

    r is the share of P1's changed lines, taken as a multiset, that P2 changes in the same way.
    """
    from sera.cli.render import agreement_text, matches_text
    from sera.generation.recall import compare, explain

    first, second = map(_patch, (p1, p2))
    agreement = compare(first, second)
    if as_json:
        print_json(agreement)
        return
    out = console()
    out.print(matches_text(explain(first, second)))
    out.print(agreement_text(agreement))


def _patch(file: Path) -> str:
    """Its text, byte for byte: line ends and other encodings count as they are."""
    from sera.errors import UsageError, boundary

    with boundary(UsageError, f"the patch {file} cannot be read"):
        return file.read_bytes().decode("utf-8", "surrogateescape")
