"""What a sandbox costs on every backend, side by side, in one run.

    python benchmarks/backends.py [--rounds N] [--files N] [--peer PEER/bin/python]

Sandboxes of namespaces, Docker and Podman; `docker run` and `docker exec` by hand; with `--peer`, the
environments of mini-swe-agent (`pip install mini-swe-agent==2.4.6` into a virtual environment of its own).
The engines are started for this and stopped afterwards, so root and Debian's docker.io and podman are needed;
what is missing is left out. Wall-clock medians in milliseconds.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/sandboxes"))

import pytest
from engines import IMAGE, EngineAtHand, docker_engine, in_use, podman_engine
from sandbox import Clock, make_layer

from sera.sandboxes import NamespacesConfig, SandboxConfig, make_backend
from sera.sandboxes.containers.config import DockerConfig, PodmanConfig
from sera.sandboxes.contract import Layer

STEPS = ("create", "first command", "trivial command", "100 KB of output", "destroy")
OUTPUT = "head -c 100000 /dev/zero | tr '\\0' x"
Medians = dict[str, float]


def medians(clock: Clock) -> Medians:
    return {name: statistics.median(times) for name, times in clock.times.items()}


async def ours(config: SandboxConfig, layer: Layer, rounds: int) -> Medians:
    clock = Clock()
    async with make_backend(config, layer) as backend:
        for _ in range(rounds):
            manager = backend.sandbox()
            box = await clock.timed("create", manager.__aenter__())
            await clock.timed("first command", box.run("true", 10))
            for _ in range(5):
                await clock.timed("trivial command", box.run("true", 10))
                await clock.timed("100 KB of output", box.run(OUTPUT, 10))
            await clock.timed("destroy", manager.__aexit__(None, None, None))
    return medians(clock)


async def by_hand(engine: EngineAtHand, rounds: int) -> Medians:
    clock = Clock()

    async def call(name: str, *arguments: str) -> str:
        return await clock.timed(name, asyncio.to_thread(engine.run, *arguments))

    for _ in range(rounds):
        start = ("run", "--detach", "--rm", "--network=none", IMAGE, "sleep", "1000")
        name = (await call("create", *start)).strip()
        await call("first command", "exec", name, "bash", "-c", "true")
        for _ in range(5):
            await call("trivial command", "exec", name, "bash", "-c", "true")
            await call("100 KB of output", "exec", name, "bash", "-c", OUTPUT)
        await call("destroy", "rm", "--force", *(("--time=0",) if engine.program == "podman" else ()), name)
    return medians(clock)


def of_peer(python: str, kind: str, rounds: int) -> Medians:
    script = Path(__file__).with_name("peer_environments.py")
    command = [python, str(script), kind, f"--rounds={rounds}", f"--image={IMAGE}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def or_none(engine: "contextlib.AbstractContextManager[EngineAtHand]") -> Iterator[EngineAtHand | None]:
    """The engine, or None where its tests would be skipped."""
    with contextlib.ExitStack() as stack:
        try:
            at_hand = stack.enter_context(in_use(engine))
        except pytest.skip.Exception as reason:
            print(reason, file=sys.stderr)
            at_hand = None
        yield at_hand


def measure(options: argparse.Namespace, layer: Layer) -> dict[str, Medians]:
    rounds = options.rounds
    found = {"namespaces": asyncio.run(ours(NamespacesConfig(), layer, rounds))}
    with or_none(docker_engine()) as engine:
        if engine:
            found["docker"] = asyncio.run(ours(DockerConfig(image=IMAGE), layer, rounds))
            found["docker run, docker exec"] = asyncio.run(by_hand(engine, rounds))
            if options.peer:
                found["mini-swe-agent, docker"] = of_peer(options.peer, "docker", rounds)
    with or_none(podman_engine()) as engine:
        if engine:
            found["podman"] = asyncio.run(ours(PodmanConfig(image=IMAGE), layer, rounds))
            found["podman run, podman exec"] = asyncio.run(by_hand(engine, rounds))
    if options.peer:
        found["mini-swe-agent, local (no walls)"] = of_peer(options.peer, "local", rounds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--files", type=int, default=1000, help="files in the layer")
    parser.add_argument("--peer", default="", help="the interpreter that has mini-swe-agent")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        found = measure(options, make_layer(Path(base) / "tree", options.files))
    print("| milliseconds | " + " | ".join(STEPS) + " |")
    print("|---" * (len(STEPS) + 1) + "|")
    for name, times in found.items():
        cells = (f"{times[step]:.3g}" if step in times else "–" for step in STEPS)
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
