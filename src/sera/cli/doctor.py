"""`sera doctor`: what this machine gives to a run, each point tried and not guessed."""

import asyncio
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import EXIT_FAILED, FILE, complain, console, json_option, print_json, table

if TYPE_CHECKING:
    from rich.console import Console

    from sera.generation.job import GenerateConfig
    from sera.sandboxes import SandboxConfig
    from sera.sandboxes.protections import Protection

_PROGRAMS = {"git": "snapshots and patches", "bash": "the shell of every sandbox"}
_EXTRAS = {
    "dataset": ("tokenizers", "jinja2", "rensa"),
    "environments": ("uv",),
    "languages": ("tree_sitter", "tree_sitter_go"),
    "parquet": ("pyarrow",),
    "plots": ("matplotlib",),
    "hub": ("huggingface_hub",),
    "local": ("xllamacpp",),
    "train": ("torch", "transformers", "peft", "trl", "gguf"),
}
_DISK_BYTES = 5 << 30
"""Room for a few snapshots and environments."""
_GIB = 1 << 30


@click.command(
    epilog="""\b
Examples:
  sera doctor
  sera doctor --require cgroups,seccomp
  sera doctor --set sandbox.backend=docker --set sandbox.image=python:3.11 --json"""
)
@click.option("--config", "file", type=FILE, help="Settings in TOML, or a run's run.json, as for generate.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@click.option("--require", "required", default="", metavar="NAME,…", help="Fail without these protections.")
@json_option
def command(file: Path | None, pairs: tuple[str, ...], required: str, as_json: bool) -> None:
    """Try every protection of a sandbox on this machine, and say what else a run will need.

    Each protection is tried in a sandbox of the configured backend: `yes` if it held, `partly` or `no` with
    what follows and what to do about it. Exit code 1 if one that is required, here or in the settings, is not
    given, or if no sandbox can be made at all.
    """
    from sera.errors import SandboxError
    from sera.generation.job import GenerateConfig
    from sera.sandboxes.protections import names_in, probe, refuse_without
    from sera.settings import load_config

    config = load_config(GenerateConfig, file, pairs)
    names = (*names_in(required), *names_in(config.sandbox.require))
    machine, failure = _machine(config), ""
    try:
        protections = asyncio.run(probe(config.sandbox))
    except SandboxError as error:
        protections, failure = [], str(error)
    backend = backend_name(config.sandbox)
    if as_json:
        print_json({"backend": backend, "failure": failure, "protections": protections, "machine": machine})
    else:
        _print(console(), backend, protections, machine)
    if failure:
        complain(f"no sandbox of {backend} can be made: {failure}")
        raise click.exceptions.Exit(EXIT_FAILED)
    refuse_without(names, protections)


def backend_name(config: "SandboxConfig") -> str:
    """The backend's name in the settings."""
    return str(config.__struct_config__.tag)


def _print(
    out: "Console", backend: str, protections: list["Protection"], machine: list["Protection"]
) -> None:
    for title, found in ((f"Sandboxes of {backend}", protections), ("This machine", machine)):
        rows = [(one.name, one.given, one.detail, one.follows, one.cure) for one in found]
        if rows:
            out.print(table(title, ("what", "given", "seen", "follows", "cure"), rows))


# ── what a run needs beside its sandboxes ─────────────────────────────────────────────────────────


def _machine(config: "GenerateConfig") -> list["Protection"]:
    return [
        _python(),
        *map(_program, _PROGRAMS),
        *map(_extra, _EXTRAS),
        _cache(),
        _memory(config),
        *_engines(),
    ]


def _point(name: str, given: bool, detail: str, follows: str = "", cure: str = "") -> "Protection":
    from sera.sandboxes.protections import Protection

    if given:
        return Protection(name=name, given="yes", detail=detail)
    return Protection(name=name, given="no", detail=detail, follows=follows, cure=cure)


def _python() -> "Protection":
    return _point("python", True, f"{sys.version.split()[0]} at {sys.executable}")


def _program(name: str) -> "Protection":
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    detail = found or "not in /usr/local/bin, /usr/bin or /bin, where sandboxes look"
    return _point(name, found is not None, detail, f"needed for {_PROGRAMS[name]}", f"install {name}")


def _extra(name: str) -> "Protection":
    missing = [module for module in _EXTRAS[name] if importlib.util.find_spec(module) is None]
    detail = f"no module {', '.join(missing)}" if missing else ""
    return _point(
        f"extra {name}", not missing, detail, "its commands are not there", f'pip install "sera[{name}]"'
    )


def _cache() -> "Protection":
    from sera.settings import default_cache

    place = default_cache()
    there = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(there).free
    enough = free >= _DISK_BYTES and os.access(there, os.W_OK)
    detail = f"{free / _GIB:.0f} GiB free at {place}"
    return _point("cache", enough, detail, "snapshots and environments need room", "free space there")


def _memory(config: "GenerateConfig") -> "Protection":
    """Whether all sandboxes at their limits at once would fit: what they write is memory too."""
    from sera.sandboxes import NamespacesConfig

    limits = config.sandbox.limits
    each = limits.memory_bytes + (limits.disk_bytes if isinstance(config.sandbox, NamespacesConfig) else 0)
    free = _available_bytes()
    worst = each * config.concurrency
    detail = f"{free / _GIB:.0f} GiB free; {config.concurrency} sandboxes could take {worst / _GIB:.0f} GiB"
    cure = "a lower --concurrency or sandbox.limits.memory_bytes"
    return _point("memory", worst <= free, detail, "all at their limits at once would end others", cure)


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _engines() -> list["Protection"]:
    from sera.errors import SandboxError
    from sera.sandboxes.containers.engine import KINDS, Engine

    found = []
    for kind in KINDS:
        try:
            Engine(kind, kind).call_now("info", seconds=10)
            found.append(_point(kind, True, "the engine answers"))
        except SandboxError as error:
            found.append(_point(kind, False, str(error), f"no sandboxes of {kind}"))
    return found
