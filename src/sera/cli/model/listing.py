"""`sera model list`: weights that packages carry."""

import click

from sera.cli.common import console, json_option, print_json, table


@click.command(
    epilog="""\b
Examples:
  sera model list
  sera model list --json"""
)
@json_option
def command(as_json: bool) -> None:
    """Weights that packages of the Python index carry, and which of them are on this machine.

    Beside these names, a model may always be a GGUF file or a folder in the Hugging Face form.
    """
    from sera.errors import ModelError
    from sera.models import find_weights, known_weights

    known = known_weights()
    places: dict[str, str] = {}
    for name in known:
        try:
            places[name] = str(find_weights(name).path)
        except ModelError:
            places[name] = ""
    if as_json:
        print_json({name: {"about": one.about, "bytes": one.bytes, "context": one.context,
                           "licence": one.licence, "path": places[name]}
                    for name, one in known.items()})  # fmt: skip
        return
    rows = [
        (name, f"{one.bytes >> 20} MB", f"{one.context:,}", one.about, places[name] or "no")
        for name, one in known.items()
    ]
    console().print(table("", ["name", "size", "context", "about", "here"], rows, ["size", "context"]))
