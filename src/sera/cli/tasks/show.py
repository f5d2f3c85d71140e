"""`sera tasks show`: a set of tasks, or one of them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import PATH, console, counted, json_option, print_json, table
from sera.visible import one_line

if TYPE_CHECKING:
    from sera.evaluation.tasks.record import Instance


@click.command(
    epilog="""\b
Examples:
  sera tasks show tasks
  sera tasks show tasks toolz__toolz-1f0c2ab9
  sera tasks show tasks 0 --json"""
)
@click.argument("tasks", type=PATH)
@click.argument("instance", required=False, metavar="[ID|NUMBER]")
@json_option
def command(tasks: Path, instance: str | None, as_json: bool) -> None:
    """List the tasks of TASKS, or show the one with that id or number, from 0: its text, its
    patches, its tests."""
    from sera.errors import UsageError
    from sera.evaluation.tasks.record import read_instances, read_manifest

    manifest, found = read_manifest(tasks), read_instances(tasks)
    if instance is None:
        print_json({"manifest": manifest, "tasks": found}) if as_json else _print_list(found)
        return
    numbered = {str(number): one for number, one in enumerate(found)}
    one = numbered.get(instance) or next((one for one in found if one.instance_id == instance), None)
    if one is None:
        raise UsageError(
            f"{tasks} has no task {instance}: give an id as `sera tasks show {tasks}` lists them, or a number "
            f"from 0 to {len(found) - 1}"
        )
    print_json(one) if as_json else _print_one(one)


def _print_list(found: "list[Instance]") -> None:
    rows = [
        (number, one.instance_id, one.kind.value, one.operator, f"{one.path}:{one.function}",
         len(one.failing), len(one.passing))
        for number, one in enumerate(found)
    ]  # fmt: skip
    columns = ["", "id", "kind", "bug", "function", "fail", "pass"]
    console().print(table("", columns, rows, ["", "fail", "pass"]))


def _print_one(one: "Instance") -> None:
    from rich.text import Text

    screen = console()
    place = one_line(f"{one.path}:{one.function}")
    screen.print(f"{one_line(one.instance_id)}  {one.kind.value} {one_line(one.operator)}  {place}")
    parts = (
        ("Text", one.problem_statement),
        ("Gold patch", one.patch),
        ("Test patch", one.test_patch),
        ("FAIL_TO_PASS", "\n".join(one.failing)),
        ("PASS_TO_PASS", counted(len(one.passing), "test")),
        ("Tests are run with", one.test_command),
    )
    for title, text in parts:
        screen.print(Text.assemble("\n", (title, "bold"), "\n", text.rstrip()))
