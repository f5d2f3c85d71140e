"""The Docker backend: the conformance suite in containers of an engine that this module starts.

Process 1 is the one of the namespace backend, which passes every case in `make test`; a container for each takes
long. So `make test` runs the first case of each test here, and what becomes of containers when something goes
wrong; `make soak` all cases, and what images may hold.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conformance import Conformance
from engines import IMAGE, EngineAtHand, docker_engine, in_use
from stage import SMALL, Body, Make, alive_with, close_history, commit_all, make_layer

from sera.errors import SandboxError
from sera.leases import own_lease
from sera.sandboxes.containers.backend import Containers
from sera.sandboxes.containers.config import DockerConfig
from sera.sandboxes.containers.engine import LEASE, Engine
from sera.sandboxes.containers.images import build_image, layer_of_image
from sera.sandboxes.contract import Layer, Limits, Sandbox


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineAtHand]:
    with in_use(docker_engine()) as engine:
        yield engine


@pytest.mark.usefixtures("engine")
class TestDocker(Conformance):
    crowd = 8
    first_cases = True

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, engine: EngineAtHand) -> Make:
        def make(layer: Layer, limits: Limits) -> Containers:
            return Containers(layer, DockerConfig(image=IMAGE, limits=limits, program=engine.program))

        return make


# ── what only containers promise ──────────────────────────────────────────────────────────────────


def _play(layer: Layer, body: Body, **settings: Any) -> None:
    async def scene() -> None:
        async with (
            Containers(layer, DockerConfig(**{"image": IMAGE, "limits": SMALL, **settings})) as backend,
            backend.sandbox() as box,
        ):
            await body(box)

    asyncio.run(asyncio.wait_for(scene(), 60))


def _containers(engine: EngineAtHand) -> set[str]:
    return set(engine.run("ps", "--all", "--format", "{{.Names}}").split())


def _is_soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.usefixtures("engine")
def test_a_layer_whose_history_only_its_owner_may_read(tmp_path: Path) -> None:
    async def body(box: Sandbox) -> None:
        await box.run("echo more >> README.md", 5)
        assert "+more" in await box.patch()

    layer = make_layer(tmp_path / "tree")
    close_history(layer)
    _play(layer, body)


@pytest.mark.parametrize("kind", ["file", "link", "tree"])
def test_a_tree_of_an_image_that_leads_elsewhere(engine: EngineAtHand, tmp_path: Path, kind: str) -> None:
    """git, which runs on this machine, takes no repository's word that the image brought."""
    layer, marker = make_layer(tmp_path / "tree"), tmp_path / "ran"
    odd = layer.tree / "odd"
    (layer.tree / ".git").rename(odd)
    subprocess.run(
        ["git", f"--git-dir={odd}", "config", "core.fsmonitor", f"touch {marker}; false"], check=True
    )
    if kind == "file":
        (layer.tree / ".git").write_text("gitdir: odd\n")
    elif kind == "link":
        (layer.tree / ".git").symlink_to("odd")
    else:
        (tmp_path / "tree").rename(tmp_path / "elsewhere")
        layer.tree.symlink_to(tmp_path / "elsewhere")
    container = engine.run("create", IMAGE, "true").strip()
    packed = tmp_path / "packed.tar"
    with tarfile.open(packed, "w") as tar:
        tar.add(layer.tree, "testbed")
    with packed.open("rb") as stream:
        subprocess.run([engine.program, "cp", "-", f"{container}:/"], stdin=stream, check=True)
    engine.run("commit", container, f"sera-test:{kind}")
    engine.run("rm", container)
    take = partial(layer_of_image, Engine(engine.program, "docker"), f"sera-test:{kind}", "/testbed")
    if kind == "tree":
        with pytest.raises(SandboxError, match="no directory"):
            take(tmp_path / "taken")
        assert not (tmp_path / "elsewhere/.git").exists()
    else:
        taken = take(tmp_path / "taken")
        assert (taken.tree / ".git").is_dir()
        assert (taken.tree / "odd/config").is_file()
    assert not marker.exists()


@pytest.mark.soak
@pytest.mark.usefixtures("engine")
def test_files_are_copied_where_they_cannot_be_mounted(tmp_path: Path) -> None:
    async def body(box: Sandbox) -> None:
        await box.run("echo more >> README.md; rm -r docs", 5)
        assert "+more" in await box.patch()
        assert await box.read("package/data.bin") == bytes(range(256)) * 8

    _play(make_layer(tmp_path / "tree"), body, transfer="copy")


@pytest.mark.soak
def test_an_image_that_holds_the_tree(engine: EngineAtHand, tmp_path: Path) -> None:
    layer = make_layer(tmp_path / "tree")
    container = engine.run("create", IMAGE, "true").strip()
    engine.run("cp", f"{layer.tree}", f"{container}:/testbed")
    engine.run("commit", container, "sera-test:tree")
    engine.run("rm", container)

    async def body(box: Sandbox) -> None:
        assert (await box.run("id -u; cat README.md", 5)).output == "0\nread me\n"
        assert (await box.run("cat /run/sandbox/closed; echo x > /run/sandbox/excludes", 5)).exit_code
        before = await box.state()
        await box.run("echo more >> README.md; rm -rf .git; git init -q nested; echo x > nested/new", 5)
        patch = await box.patch()
        assert "+more" in patch
        assert "+++ b/nested/new" in patch
        assert await box.state() != before
        caps = await box.run("grep -E 'Cap(Prm|Eff)' /proc/self/status | tr -d '\\t0\\n'", 5)
        assert caps.output == "CapPrm:CapEff:"

    settings = {"image": "sera-test:tree", "tree": "image"}
    _play(layer, body, **settings)
    taken = layer_of_image(Engine(engine.program, "docker"), "sera-test:tree", "/testbed", tmp_path / "taken")
    assert (taken.tree / "tool.sh").stat().st_mode & 0o111
    _play(taken, body, **settings)
    (layer.tree / "README.md").write_text("another\n")
    other = Layer(tree=layer.tree, commit=commit_all(layer.tree))
    with pytest.raises(SandboxError, match="1 files differ"):
        _play(other, body, **settings)


@pytest.mark.soak
def test_an_image_is_built_of_folders(engine: EngineAtHand, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_text('#!/bin/sh\necho "$SAID"\n')
    (tmp_path / "bin/tool").chmod(0o755)
    own, said = Engine(engine.program, "docker"), 'by "$HOME" \\'
    build_image(own, "sera-test:built", IMAGE, [tmp_path / "bin"], [f"{tmp_path}/bin"], {"SAID": said})
    assert engine.run("run", "--rm", "--network=none", "sera-test:built", "tool") == f"{said}\n"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image": "no-such-image:here", "pull": "never"}, "sandbox.pull=missing"),
        ({"image": "localhost:1/no-such:image"}, "could not be pulled"),
        ({"program": "no-such-engine"}, "there is no program no-such-engine"),
        ({"options": ("--no-such-option",)}, "unknown flag"),
        ({"python": Path("/opt/no-such-prefix")}, "bind source path does not exist"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    async def body(_: Sandbox) -> None:
        raise AssertionError

    with pytest.raises(SandboxError, match=words):
        _play(make_layer(tmp_path / "tree"), body, **settings)


def test_an_engine_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("docker"):
        pytest.skip("no docker here")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")

    async def body(_: Sandbox) -> None:
        raise AssertionError

    with pytest.raises(SandboxError, match="Start the engine"):
        _play(make_layer(tmp_path / "tree"), body)


_HOST = """
import asyncio, pathlib, sys
from sera.sandboxes.contract import Layer
from sera.sandboxes.containers.backend import Containers
from sera.sandboxes.containers.config import DockerConfig
async def main(tree, commit, image, marker):
    async with Containers(Layer(tree=pathlib.Path(tree), commit=commit), DockerConfig(image=image)) as backend:
        async with backend.sandbox() as box:
            await box.run(f"setsid nohup sleep {marker} >/dev/null 2>&1 &", 5)
            print("up", flush=True)
            await asyncio.sleep(60)
asyncio.run(main(*sys.argv[1:]))
"""


def test_a_killed_host_leaves_no_container(engine: EngineAtHand, tmp_path: Path) -> None:
    before, marker = _containers(engine), f"93{os.getpid()}"
    layer = make_layer(tmp_path / "tree")
    command = [sys.executable, "-c", _HOST, str(layer.tree), layer.commit, IMAGE, marker]
    host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert host.stdout
    assert host.stdout.readline() == "up\n"
    assert _containers(engine) > before
    host.kill()
    host.wait()
    host.stdout.close()
    assert _is_soon(lambda: _containers(engine) == before)
    assert not alive_with(marker)


def test_gc_removes_what_dead_processes_left_and_nothing_else(engine: EngineAtHand) -> None:
    own = own_lease()
    leases = {
        "dead": own._replace(start=1),
        "held": own,
        "elsewhere": own._replace(start=1, namespace=1),
        "odd": "no lease",
    }
    for name, lease in leases.items():
        engine.run("create", f"--name=sera-test-{name}", f"--label={LEASE}={lease}", IMAGE, "true")
    engine.run("create", "--name=sera-test-foreign", IMAGE, "true")
    try:
        for dry in (True, False):
            arguments = ["gc", "--json", *(["--dry-run"] if dry else [])]
            done = subprocess.run(
                [sys.executable, "-m", "sera", *arguments], capture_output=True, text=True, check=True
            )
            listed = [row["name"] for row in json.loads(done.stdout) if row["name"].startswith("sera-test")]
            assert listed == ["sera-test-dead"]
            left = {name for name in _containers(engine) if name.startswith("sera-test-")}
            assert ("sera-test-dead" in left) == dry
        assert left == {f"sera-test-{name}" for name in ("held", "elsewhere", "odd", "foreign")}
    finally:
        engine.run("rm", "--force", *(name for name in _containers(engine) if name.startswith("sera-test-")))
