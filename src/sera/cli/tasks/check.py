"""`sera tasks check`: gold patches resolve, empty ones do not."""

from pathlib import Path

import click

from sera.cli.common import EXIT_FAILED, PATH, complain, console, json_option, print_json, table


@click.command(
    epilog="""\b
Examples:
  sera tasks check tasks
  sera tasks check tasks --set mutant_seconds=300 --json"""
)
@click.argument("tasks", type=PATH)
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@json_option
def command(tasks: Path, pairs: tuple[str, ...], as_json: bool) -> None:
    """Judge the gold patch and the empty patch of every task of TASKS, in the environments of this machine.

    Exit code 1 if a gold patch does not resolve its task, or an empty one does.
    """
    import asyncio

    from sera.evaluation.tasks.checking import check
    from sera.evaluation.tasks.config import TasksConfig
    from sera.settings import load_config

    result = asyncio.run(check(tasks, load_config(TasksConfig, pairs=pairs), told=complain))
    if as_json:
        print_json(result)
    else:
        if result.faults:
            rows = [(one.instance, one.what) for one in result.faults]
            console().print(table("Faults", ["task", "what"], rows))
        console().print(
            f"{result.tasks} tasks: gold patches resolve {result.gold}, empty patches {result.empty}; "
            f"{result.kept} of {result.passing} tests of PASS_TO_PASS pass with no patch"
        )
    if result.faults:
        raise click.exceptions.Exit(EXIT_FAILED)
