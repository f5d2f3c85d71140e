"""`sera rehearse`: the rehearsal teacher as a server, and large runs without a teacher."""

import shlex
from pathlib import Path

import click

from sera.cli.common import PATH, IntRange


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  sera rehearse --port 8000
  sera generate ./my-project --out run --teacher http://127.0.0.1:8000/v1 --model rehearsal
  sera rehearse run run large-run --pairs 60000""",
)
@click.option("--port", type=IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A knob, e.g. latency=2; may be repeated."
)
@click.pass_context
def command(context: click.Context, port: int, pairs: tuple[str, ...]) -> None:
    """Serve the rehearsal teacher as an OpenAI-compatible endpoint on loopback.

    It plays a teacher without a model: for trying, sizing and testing. Its knobs can make it slow,
    fail, stall and babble: latency, fail_rate, stall_rate, babble_rate.
    """
    if context.invoked_subcommand:
        return
    from sera.settings import load_config
    from sera.teachers.rehearsal import RehearsalConfig, RehearsalTeacher
    from sera.teachers.server import serve

    serve(RehearsalTeacher(load_config(RehearsalConfig, pairs=pairs)), "rehearsal", port=port)


@command.command(
    "run",
    epilog="""\b
Examples:
  sera generate ./my-project --out run --functions 40
  sera rehearse run run large-run --pairs 60000
The same command once more goes on where the last one stopped.""",
)
@click.argument("run", type=PATH)
@click.argument("out", type=PATH)
@click.option("--pairs", type=IntRange(1), default=60_000, show_default=True, help="Tasks of the new run.")
@click.option(
    "--seed", type=IntRange(0), default=0, show_default=True, help="Another seed gives another run."
)
def multiply(run: Path, out: Path, pairs: int, seed: int) -> None:
    """Write a large run into OUT by copying the tasks of RUN, each under another name.

    For sizing and testing datasets and what comes after them. It teaches nobody anything.
    """
    from sera.generation.multiplied import multiply_run
    from sera.runs import read_run

    written = multiply_run(read_run(run), out, pairs, seed)
    click.echo(
        f"{out}: {len(written.pairs):,} tasks from {run}. Next: sera dataset build {shlex.quote(str(out))} --out DIR"
    )
