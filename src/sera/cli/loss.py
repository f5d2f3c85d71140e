"""`sera loss`: how well a student foretells conversations that it was not trained on."""

from pathlib import Path

import click

from sera.cli.common import PATH, console, json_option, print_json


@click.command(
    epilog="""\b
Examples:
  sera loss measured --student smollm2-135m-instruct
  sera loss measured --student ./student/checkpoint --out loss.json
Build DATASET from a run of other functions than those that were trained on: sera generate --held-out."""
)
@click.argument("dataset", type=PATH, metavar="DATASET")
@click.option("--student", required=True, metavar="MODEL", help="As sera train takes it, or a checkpoint.")
@click.option("--out", type=PATH, metavar="FILE", help="Write it there too, with each conversation, as JSON.")
@json_option
def command(dataset: Path, student: str, out: Path | None, as_json: bool) -> None:
    """The loss of a student on the conversations in DATASET; nothing is trained.

    That of a conversation is the mean over the tokens that a training on it would count, and that of
    the dataset the mean over its conversations; the mean over all tokens, as a trainer prints it, is told too.
    """
    from sera.training.loss import measure_loss, write_loss

    measured = measure_loss(dataset, student, _told)
    if out:
        write_loss(measured, out)
    if as_json:
        print_json(measured)
        return
    number = len(measured.conversations)
    console().print(f"loss of {measured.student} on {number} conversations: {measured.loss:.4f}")
    console().print(f"over all trained tokens, as trainers count: {measured.by_token:.4f}")


def _told(done: int, rows: int) -> None:
    if done == rows or done % max(rows // 10, 1) == 0:
        click.echo(f"{done}/{rows} conversations", err=True)
