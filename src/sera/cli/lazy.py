"""Groups of commands that import each of them only to run it."""

from importlib import import_module
from pathlib import Path
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
        for_paths: str = "",
        **attributes: Any,
    ) -> None:
        """`members`: the help of each command, in the order in which they are listed. `modules`: the
        module of a command that shares one with others; any other is `command` in one of its own.
        `for_paths`: the command that is meant if somebody names a file or folder in its place."""
        super().__init__(**attributes)
        self._package = package
        self._members = members
        self._heading = heading
        self._modules = modules or {}
        self._for_paths = for_paths

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._members)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._members:
            return None
        module = import_module(f"{self._package}.{self._modules.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, cmd_name, None) or module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if self._for_paths and word not in self._members and Path(word).exists():
            ctx.fail(f"{word} is no command: did you mean `{ctx.command_path} {self._for_paths} {word}`?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(self._heading):
            formatter.write_dl(list(self._members.items()))
