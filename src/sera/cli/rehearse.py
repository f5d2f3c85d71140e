"""`sera rehearse`: the rehearsal teacher as a server."""

import click


@click.command(
    epilog="""\b
Examples:
  sera rehearse --port 8000
  sera generate ./my-project --out run --teacher http://127.0.0.1:8000/v1 --model rehearsal"""
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one."
)
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A knob, e.g. latency=2; may be repeated."
)
def command(port: int, pairs: tuple[str, ...]) -> None:
    """Serve the rehearsal teacher as an OpenAI-compatible endpoint on loopback.

    It plays a teacher without a model: for trying, sizing and testing. Its knobs can make it slow,
    fail, stall and babble: latency, fail_rate, stall_rate, babble_rate.
    """
    from sera.settings import load_config
    from sera.teachers.rehearsal import RehearsalConfig
    from sera.teachers.rehearsal.server import serve

    serve(load_config(RehearsalConfig, pairs=pairs), port=port)
