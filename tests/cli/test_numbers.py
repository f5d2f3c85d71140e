"""Numbers on the command line: what cannot be one is refused by its option's name."""

import click
import pytest
from click.testing import CliRunner

from sera.cli import cli


def numeric_options() -> list[tuple[tuple[str, ...], str]]:
    """(command, option) of every option that takes a number within a range."""
    found: list[tuple[tuple[str, ...], str]] = []

    def walk(command: click.Command, path: tuple[str, ...]) -> None:
        with click.Context(command) as context:
            if isinstance(command, click.Group):
                for name in command.list_commands(context):
                    if inner := command.get_command(context, name):
                        walk(inner, (*path, name))
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(
                option.type, click.IntRange | click.FloatRange
            ):
                found.append((path, max(option.opts, key=len)))

    walk(cli, ())
    return found


@pytest.mark.parametrize(
    ("command", "option"),
    numeric_options(),
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else part,
)
def test_every_option_refuses_what_is_no_number(command: tuple[str, ...], option: str) -> None:
    for number in ("nan", "inf", "-inf", "1e300", "9" * 60, "-1"):
        told = CliRunner().invoke(cli, [*command, option, number])
        assert told.exit_code == 2, (number, told.output)
        assert option in told.output, (number, told.output)
