"""`sera model serve`: an endpoint for weights of this machine."""

import click

from sera.cli.common import IntRange


@click.command(
    epilog="""\b
Examples:
  sera model serve smollm2-135m-instruct --port 8001
  sera model serve ./checkpoint --set context=16384 --set parallel=2"""
)
@click.argument("model")
@click.option("--port", type=IntRange(0, 65535), default=8001, show_default=True, help="0 takes a free one.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
def command(model: str, port: int, pairs: tuple[str, ...]) -> None:
    """Serve MODEL on loopback, as OpenAI's chat completions, until it is interrupted.

    MODEL is a name that `sera model list` shows, a GGUF file, or a folder with config.json and weights.
    Tool calls are read tolerantly, so that small models can be tried in any agent. For large models and
    many users take vLLM or SGLang: `sera teacher command` writes the launch command.
    """
    from sera.settings import load_config
    from sera.teachers import LocalConfig, make_teacher
    from sera.teachers.server import serve

    config = load_config(LocalConfig, pairs=pairs, given={"model": model})
    serve(make_teacher(config), model, port=port)
