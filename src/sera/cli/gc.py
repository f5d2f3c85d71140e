"""`sera gc`: remove what sandboxes of killed processes have left on this machine."""

import click

from sera.cli.common import complain, console, json_option, plan_option, print_json, table


@click.command(
    epilog="""\b
Examples:
  sera gc --plan
  sera gc""",
)
@plan_option("Only list what would be removed.")
@json_option
def command(only_plan: bool, as_json: bool) -> None:
    """Remove what sandboxes of killed processes have left on this machine: containers of Docker and
    Podman, control groups, temporary folders, those of local models among them.

    Each bears the lease of the process that made it. Only what a process left that is gone for certain is
    removed: nothing that is in use, and nothing that another machine or container may hold. Run it as the
    user, and with the DOCKER_HOST, of the run that was killed.
    """
    from sera.errors import SandboxError
    from sera.sandboxes.leftovers import leftovers

    found = list(leftovers(complain))
    rows = []
    for leftover in found:
        outcome = "would be removed"
        if not only_plan:
            try:
                leftover.remove()
                outcome = "removed"
            except SandboxError as error:
                outcome = str(error)
        rows.append((leftover.kind, leftover.name, outcome))
    if as_json:
        print_json([dict(zip(("kind", "name", "outcome"), row, strict=True)) for row in rows])
    elif rows:
        console().print(table("", ("kind", "name", "outcome"), rows))
    else:
        console().print("nothing is left over")
