"""`sera dataset push`: upload a dataset to the Hugging Face Hub."""

from pathlib import Path

import click

from sera.cli.common import PATH, console, table


@click.command(
    epilog="""\b
Examples:
  sera dataset export data --to hub --out folder --repository ./my-project
  sera dataset push folder --repo me/my-data --private
  sera dataset push folder --repo me/my-data --private --send
Without --send nothing leaves this machine. The token is read from HF_TOKEN."""
)
@click.argument("folder", type=PATH, metavar="DIR")
@click.option(
    "--repo", required=True, metavar="OWNER/NAME", help="The dataset's repository; made if it is not there."
)
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option("--rehearsal", is_flag=True, help="Also data that the rehearsal teacher wrote.")
@click.option("--send", is_flag=True, help="Upload. Without it, what would be sent is listed.")
def command(folder: Path, repo: str, private: bool, rehearsal: bool, send: bool) -> None:
    """Upload DIR, a dataset or an export for the hub, to the Hugging Face Hub.

    Lists what would be sent, and sends it with --send only. Refused if a file is not what sera wrote, or if
    the manifest tells of failed proofs, of secrets left in the data or of a rehearsal.
    """
    from sera.datasets.exchange.push import make_client, plan_push, push

    plan = plan_push(folder, repo, private, rehearsal)
    page = console()
    page.print(
        table("", ["file", "bytes"], ((file.path, f"{file.size:,}") for file in plan.files), ["bytes"])
    )
    visible = "a private" if private else "a public"
    summary = f"{len(plan.files)} files, {plan.size:,} bytes, {plan.rows} rows"
    if not send:
        page.print(f"{summary}; --send would upload them to {visible} dataset {repo}, if it is new")
        return
    push(plan, make_client())
    page.print(f"{summary} are in {repo}")
