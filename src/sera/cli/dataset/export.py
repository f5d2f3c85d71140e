"""`sera dataset export`: a built dataset, written for trainers and hubs."""

from pathlib import Path

import click

from sera.cli.common import PATH, console, json_option, print_json

FORMATS = ("jsonl", "parquet", "hub", "axolotl", "trl", "trl-turns", "openai")


@click.command(
    epilog="""\b
Examples:
  sera dataset export data --to axolotl --out for-axolotl
  sera dataset export data --to hub --out folder --repository ./my-project
  sera dataset export data --to parquet --out columns
What each format loses is in docs/exchange.md, and in the export.json of each export."""
)
@click.argument("dataset", type=PATH, metavar="DIR")
@click.option("--to", required=True, type=click.Choice(FORMATS), help="The form of the export.")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="The export's folder.")
@click.option(
    "--repository",
    "repositories",
    type=PATH,
    multiple=True,
    metavar="DIR",
    help="A checkout of a source repository: its licence and notices go along (hub). May be repeated.",
)
@json_option
def command(dataset: Path, to: str, out: Path, repositories: tuple[Path, ...], as_json: bool) -> None:
    """Write the dataset in DIR in another form.

    Rows that a form cannot express are left out and counted; the dataset itself is not changed.
    """
    from sera.datasets.exchange.contract import Options
    from sera.datasets.exchange.export import export_dataset
    from sera.datasets.exchange.licences import read_licence

    options = Options(licences=tuple(read_licence(tree) for tree in repositories))
    record = export_dataset(dataset, out, to, options)
    if as_json:
        print_json(record)
        return
    page = console()
    left_out = sum(record.left_out.values())
    page.print(f"{out}: {record.rows - left_out} of {record.rows} rows, {', '.join(record.files)}")
    for reason, count in record.left_out.items():
        page.print(f"left out: {count} {reason}")
    page.print(f"lost: {record.lost}")
