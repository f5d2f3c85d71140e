"""`sera teacher command` and `sera teacher check`: a teacher on GPUs of one's own."""

import asyncio
import shlex
from typing import TYPE_CHECKING, Literal

import click

from sera.cli.common import EXIT_FAILED, FloatRange, IntRange, console, json_option, print_json, table

if TYPE_CHECKING:
    from sera.teachers.checkup import Checkup
    from sera.teachers.serving import Launch, Wanted

_MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@click.group(
    epilog="""\b
Examples:
  sera teacher command glm-4.5-air --gpus 4 --gpu h100
  sera teacher check http://localhost:8000/v1 --model glm-4.5-air"""
)
def teacher() -> None:
    """Serve a model yourself: the launch command for your GPUs, and a check of any endpoint."""


@teacher.command(
    epilog="""\b
Examples:
  sera teacher command glm-4.5-air
  sera teacher command glm-4.6 --gpus 8 --gpu h200 --engine sglang
  sera teacher command qwen3-8b --gpus 1 --context 32768
  sera teacher command student/checkpoint --gpus 1"""
)
@click.argument("model")
@click.option(
    "--gpus", type=IntRange(1), default=8, show_default=True, metavar="N", help="GPUs of one machine."
)
@click.option(
    "--gpu",
    default="h100",
    show_default=True,
    metavar="KIND",
    help="a100, a100-40, l40s, h100, h200 or b200.",
)
@click.option("--engine", type=click.Choice(["vllm", "sglang"]), default="vllm", show_default=True)
@click.option(
    "--context",
    type=IntRange(1),
    metavar="TOKENS",
    help="Longest conversation; 131,072 or the model's limit; of a checkpoint what it was trained with.",
)
@click.option("--concurrency", type=IntRange(1), metavar="K", help="Trajectories at once; 32, or what fits.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=IntRange(1, 65535), default=8000, show_default=True)
def command(
    model: str,
    gpus: int,
    gpu: str,
    engine: str,
    context: int | None,
    concurrency: int | None,
    host: str,
    port: int,
) -> None:
    """Print the command that serves MODEL on your GPUs, the reason for each flag, and how the memory is
    filled. Refuses what does not fit, and says what would.

    MODEL is glm-4.5-air, glm-4.6, qwen3-coder-480b-a35b, qwen3-coder-30b-a3b, qwen3-32b, qwen3-8b or
    qwen2.5-coder-32b, whose facts come from public pages; or a folder with a config.json, such as a checkpoint of
    sera train, which is served as a student to be evaluated. The commands were not tried on GPUs here.
    """
    import msgspec

    from sera.teachers.serving import Wanted, plan_launch

    asked = {
        "model": model, "gpus": gpus, "gpu": gpu, "engine": engine, "context": context,
        "concurrency": concurrency, "host": host, "port": port,
    }  # fmt: skip
    wanted = msgspec.convert(asked, Wanted)
    _print_launch(plan_launch(wanted), wanted)


def _print_launch(launch: "Launch", wanted: "Wanted") -> None:
    out, fit = console(), launch.fit
    click.echo(f"{launch.command}\n")
    out.print(table("", ["flag", "why"], [(flag.text, flag.reason) for flag in launch.flags]))
    rows = [
        ("memory of a GPU", f"{fit.memory_gb:,.0f} GB"),
        ("weights on it", f"{fit.weights_gb:,.1f} GB"),
        ("cache on all GPUs together", f"{fit.pool_gb:,.0f} GB"),
        ("cache of one token", f"{fit.token_bytes / 1000:,.0f} kB"),
        ("tokens in the cache", f"{fit.tokens:,}"),
        (f"conversations of {fit.context:,} tokens", f"{fit.full:.1f}"),
        ("whole trajectories of 32,000 tokens", f"{fit.typical:.1f}"),
        (f"cache for {launch.concurrency} full contexts", f"{launch.concurrency * fit.context * fit.token_bytes / 1e9:,.0f} GB"),
    ]  # fmt: skip
    out.print(table(f"Memory on {wanted.gpus} × {wanted.gpu}", ["", "size"], rows, ["size"]))
    if fit.full < launch.concurrency:
        out.print(f"Should more than {int(fit.full)} of the {launch.concurrency} conversations fill the context at "
                  f"once, the server sets some back and reads them again: slower, nothing is lost.")  # fmt: skip
    if launch.model.note:
        out.print(f"{launch.model.name}: {launch.model.note}")
    where = launch.model.source if launch.model.student else "public pages (models.toml names them)"
    out.print(f"These facts come from {where}; the command was not run here.")
    url = f"http://{wanted.host}:{wanted.port}/v1"
    if launch.model.student:
        click.echo(f"next: {_evaluation(launch, url)}")
        return
    click.echo(f"next: sera teacher check {url} --model {launch.model.name}\n"
               f"then: sera generate REPO --out RUN --teacher {url} --model {launch.model.name} "
               f"--concurrency {launch.concurrency}")  # fmt: skip


def _evaluation(launch: "Launch", url: str) -> str:
    """The command that evaluates a student as its checkpoint says: no server can tell that."""
    from sera.teachers import RemoteConfig

    model = launch.model
    words = ["sera", "evaluate", "TASKS", "--model", url, "--served-as", model.name]
    words += ["--set", f"profile={model.repository}"] if model.trained else []
    words += ["--context", str(launch.conversation)]
    if launch.answer != RemoteConfig(model=model.name, base_url=url).max_tokens:
        words += ["--set", f"teacher.max_tokens={launch.answer}"]
    return shlex.join([*words, "--concurrency", str(launch.concurrency), "--out", "OUT"])


@teacher.command(
    epilog="""\b
Examples:
  sera teacher check http://localhost:8000/v1 --model glm-4.5-air
  sera teacher check https://api.example.org/v1 --model glm-4.6 --key-env EXAMPLE_KEY --json
The key is read from the environment variable SERA_API_KEY, or the one that --key-env names."""
)
@click.argument("url")
@click.option("--model", required=True, metavar="NAME", help="The model's name there.")
@click.option(
    "--key-env",
    default="SERA_API_KEY",
    show_default=True,
    metavar="NAME",
    help="Variable that holds the key.",
)
@click.option(
    "--timeout",
    type=FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds for one request.",
)
@click.option(
    "--time-limit",
    type=FloatRange(0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds for all.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["hermes", "xml"]),
    help="Of a student that writes its calls as text, as teacher.format.",
)
@click.option(
    "--probe-context", is_flag=True, help="Send long prompts if the server does not tell its context."
)
@json_option
def check(
    url: str, model: str, key_env: str, timeout: float, time_limit: float, style: Literal["hermes", "xml"] | None,
    probe_context: bool, as_json: bool,
) -> None:  # fmt: skip
    """Talk to the OpenAI-compatible endpoint at URL and say whether it can be a teacher, with the cure for
    what is wrong. It takes some sixty short requests, which a paid endpoint charges.

    Exit code 0 if sera generate can work with it, 1 if not.
    """
    from sera.settings import convert
    from sera.teachers import Endpoint
    from sera.teachers.checkup import Examined, check_endpoint

    examined = Examined(
        endpoint=convert({"base_url": url, "key_env": key_env}, Endpoint, "sera teacher check"),
        model=model,
        timeout=timeout,
        time_limit=time_limit,
        format=style or "",
        probe_context=probe_context,
    )
    checkup = asyncio.run(check_endpoint(examined))
    if as_json:
        print_json({"usable": checkup.usable, "checkup": checkup})
    else:
        _print_checkup(checkup)
    if not checkup.usable:
        raise click.exceptions.Exit(EXIT_FAILED)


def _print_checkup(checkup: "Checkup") -> None:
    out = console()
    rows = [(_MARKS[found.state], found.name, found.text, found.cure) for found in checkup.findings]
    out.print(table(f"{checkup.model} at {checkup.base_url}", ["", "what", "found", "cure"], rows))
    if checkup.speeds:
        numbers = [
            (speed.concurrency, speed.answered, f"{speed.tokens_per_second:,.0f}",
             f"{speed.median_tokens_per_second:,.0f}", f"{speed.median_seconds:.2f} s")
            for speed in checkup.speeds
        ]  # fmt: skip
        columns = ["at once", "answered", "tokens/s", "of one, median", "time, median"]
        out.print(table("Speed with short prompts and answers", columns, numbers, columns))
    out.print("usable for sera generate" if checkup.usable else "not usable for sera generate as it is")
