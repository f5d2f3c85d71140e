"""Sandboxes created, used and destroyed in their hundreds, and killed in the middle: nothing stays behind."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines import IMAGE, EngineAtHand, docker_engine, in_use
from stage import make_layer

from sera.leases import own_lease, read_lease
from sera.sandboxes import NamespacesConfig, SandboxConfig, make_backend
from sera.sandboxes.containers.config import DockerConfig
from sera.sandboxes.contract import Layer, Limits

pytestmark = pytest.mark.soak

AT_ONCE = 16
NAMESPACES, CONTAINERS = 1000, 100
_HOST = """
import asyncio, pathlib, sys
from sera.sandboxes import make_backend
from sera.sandboxes.contract import Layer
from test_many_sandboxes import config_of, many
tree, commit, kind, marker = sys.argv[1:]
asyncio.run(many(Layer(tree=pathlib.Path(tree), commit=commit), config_of(kind), 100000, marker, told=True))
"""


def config_of(kind: str) -> SandboxConfig:
    limits = Limits(disk_bytes=64 << 20, memory_bytes=256 << 20)
    return (
        NamespacesConfig(limits=limits) if kind == "namespaces" else DockerConfig(image=IMAGE, limits=limits)
    )


async def many(layer: Layer, config: SandboxConfig, count: int, marker: str, told: bool = False) -> int:
    """Make, use and leave that many sandboxes, some at a time."""
    places, done = asyncio.Semaphore(AT_ONCE), 0

    async def one(number: int) -> None:
        nonlocal done
        async with places:
            async with backend.sandbox() as box:
                await box.run(
                    f"setsid nohup sleep {marker} >/dev/null 2>&1 & echo {number} > new; cat new", 30
                )
                assert f"+{number}" in await box.patch()
            done += 1
            if told and done == AT_ONCE:
                print("under way", flush=True)

    async with make_backend(config, layer) as backend:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(one(number))
    return done


def _processes(marker: str) -> int:
    """Processes that a sandbox of this test started, or that hold one."""

    def text(path: Path) -> str:
        try:
            return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""

    return sum(marker in text(path) for path in Path("/proc").glob("[0-9]*/cmdline"))


def _counts(marker: str, folder: Path, engine: EngineAtHand | None) -> dict[str, int]:
    """Everything of this test's that could leak, counted; others may work on this machine."""
    groups = [read_lease(path.name[len("sera-") :].rpartition("-")[0]) for path in _groups()]
    children = Path("/proc/self/task").glob("*/children")
    return {
        "processes": _processes(marker),
        "children": sum(len(path.read_text().split()) for path in children),
        "mounts": Path("/proc/self/mountinfo").read_text().count(str(folder)),
        "groups": sum(lease is not None and (not lease.held or lease == own_lease()) for lease in groups),
        "folders": len(list(Path(tempfile.gettempdir()).glob("sera-container-*"))),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "containers": len(engine.run("ps", "--all", "--quiet").split()) if engine else 0,
    }


def _groups() -> list[Path]:
    return [
        Path(top, name)
        for top, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith("sera-")
    ]


def _soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineAtHand]:
    with in_use(docker_engine()) as engine:
        yield engine


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    return make_layer(tmp_path / "tree")


def _check(layer: Layer, kind: str, count: int, engine: EngineAtHand | None) -> None:
    marker = f"8642{os.getpid()}"

    def counts() -> dict[str, int]:
        return _counts(marker, layer.tree, engine)

    _collect()  # what others left here before, or the last count would be smaller than the first
    before, start = counts(), time.monotonic()
    assert asyncio.run(many(layer, config_of(kind), count, marker)) == count
    print(f"{count} sandboxes of {kind}, {AT_ONCE} at once: {time.monotonic() - start:.0f} s")
    assert _soon(lambda: counts() == before), (before, counts())
    _kill_in_the_middle(layer, kind, marker)
    assert _soon(lambda: _processes(marker) == 0)
    print(f"after SIGKILL, sera gc removed {_collect()}")
    assert _soon(lambda: counts() == before), (before, counts())


def _collect() -> int:
    """How much `sera gc` removed."""
    gc = [sys.executable, "-m", "sera", "gc", "--json"]
    return len(json.loads(subprocess.run(gc, check=True, capture_output=True, text=True).stdout))


def _kill_in_the_middle(layer: Layer, kind: str, marker: str) -> None:
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1] / "sandboxes")])
    host = subprocess.Popen(
        [sys.executable, "-c", _HOST, str(layer.tree), layer.commit, kind, marker],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert host.stdout
    assert host.stdout.readline() == "under way\n"
    host.kill()
    host.wait()
    host.stdout.close()


def test_a_thousand_of_namespaces(layer: Layer) -> None:
    _check(layer, "namespaces", NAMESPACES, None)


def test_a_hundred_containers(layer: Layer, engine: EngineAtHand) -> None:
    _check(layer, "docker", CONTAINERS, engine)
