"""The namespace backend: the conformance suite as the user who runs the tests, and, if that is root,
as an ordinary user too; then what only this backend promises."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conformance import Conformance
from ordinary import passes_as_an_ordinary_user
from stage import SMALL, Make, close_history, gone_soon, make_layer

from sera.errors import SandboxError
from sera.sandboxes.contract import Layer, Limits
from sera.sandboxes.namespaces import Namespaces, NamespacesConfig


class TestNamespaces(Conformance):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls) -> Make:
        def make(layer: Layer, limits: Limits) -> Namespaces:
            return Namespaces(layer, NamespacesConfig(limits=limits))

        return make


@pytest.mark.skipif(os.getuid() != 0, reason="these tests run as an ordinary user already")
def test_as_an_ordinary_user() -> None:
    passes_as_an_ordinary_user(__file__, "TestNamespaces")


def test_a_killed_host_leaves_nothing(tmp_path: Path) -> None:
    marker = f"96{os.getpid()}"
    layer = make_layer(tmp_path / "tree")
    code = f"""
import asyncio, pathlib
from sera.sandboxes.contract import Layer
from sera.sandboxes.namespaces import Namespaces
async def main():
    async with Namespaces(Layer(tree=pathlib.Path({str(layer.tree)!r}), commit={layer.commit!r})) as backend:
        async with backend.sandbox() as box:
            await box.run("setsid nohup sleep {marker} >/dev/null 2>&1 &", 5)
            print("up", flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert host.stdout
    assert host.stdout.readline() == "up\n"
    children = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()
    host.send_signal(signal.SIGKILL)
    host.wait()
    host.stdout.close()
    assert gone_soon(marker)
    deadline = time.monotonic() + 3
    while [pid for pid in children if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_dead_process_1_is_a_sandbox_error(tmp_path: Path) -> None:
    layer = make_layer(tmp_path / "tree")

    async def scene() -> None:
        async with Namespaces(layer, NamespacesConfig(limits=SMALL)) as backend:
            async with backend.sandbox() as box:
                spawner = backend._spawner
                assert spawner
                children = Path(f"/proc/{spawner.pid}/task/{spawner.pid}/children").read_text().split()
                os.kill(int(children[0]), signal.SIGKILL)
                with pytest.raises(SandboxError, match="gone"):
                    await box.run("sleep 1", 5)
            spawner.kill()
            spawner.wait()
            with pytest.raises(SandboxError):
                async with backend.sandbox():
                    pass

    asyncio.run(scene())


def test_a_layer_without_git_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        async with Namespaces(Layer(tree=tmp_path, commit="0" * 40)):
            pass

    with pytest.raises(SandboxError, match="no layer"):
        asyncio.run(scene())


def test_without_an_overlay_each_sandbox_has_a_copy(tmp_path: Path) -> None:
    layer = make_layer(tmp_path / "tree")

    async def scene() -> None:
        async with Namespaces(layer, NamespacesConfig(limits=SMALL, share_layer=False)) as backend:
            assert "copy" in backend.notice
            async with backend.sandbox() as one, backend.sandbox() as two:
                assert await one.patch() == ""
                await one.run("rm -r docs; echo x >> tool.sh; git init -q nested; touch nested/file; ls", 5)
                assert "nested/file" in await one.patch()
                assert await two.patch() == ""
                assert (
                    await two.run("./tool.sh; readlink link; git status --short", 5)
                ).output == "tool\nREADME.md\n"

    asyncio.run(scene())


def test_a_layer_whose_history_is_closed_to_others(tmp_path: Path) -> None:
    """As one has that was made under a umask of 077; git reads it as a command's user."""
    layer = make_layer(tmp_path / "tree")
    close_history(layer)

    async def scene(shared: bool) -> None:
        async with Namespaces(layer, NamespacesConfig(limits=SMALL, share_layer=shared)) as backend:
            async with backend.sandbox() as box:
                await box.run("echo x >> tool.sh", 5)
                assert "+x" in await box.patch()
                assert (await box.run("git status --short", 5)).output == " M tool.sh\n"

    for shared in (True, False):
        asyncio.run(scene(shared))


def test_the_layer_keeps_its_owner(tmp_path: Path) -> None:
    layer = make_layer(tmp_path / "tree")

    async def scene() -> None:
        async with Namespaces(layer) as backend, backend.sandbox() as box:
            assert (
                await box.run("echo x >> README.md; rm -r docs; stat -c %U tool.sh", 5)
            ).output == "user\n"

    asyncio.run(scene())
    assert {path.lstat().st_uid for path in layer.tree.rglob("*")} == {os.getuid()}
