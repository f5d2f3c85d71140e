"""Groups of commands that import each of them only to run it."""

from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that knows its commands by name and help, and finds each in a module of its package."""

    def __init__(
        self,
        *,
        package: str,
        members: dict[str, str],
        heading: str = "Commands",
        modules: dict[str, str] | None = None,
        **attributes: Any,
    ) -> None:
        """`members`: the help of each command, in the order in which they are listed. `modules`: the
        module of a command that shares one with others; any other is `command` in one of its own."""
        super().__init__(**attributes)
        self._package = package
        self._members = members
        self._heading = heading
        self._modules = modules or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._members)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._members:
            return None
        module = import_module(f"{self._package}.{self._modules.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, cmd_name, None) or module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(self._heading):
            formatter.write_dl(list(self._members.items()))
