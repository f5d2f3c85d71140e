"""The namespace backend: the conformance suite as the user who runs the tests, and, if that is root,
as an ordinary user too; then what only this backend promises."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conformance import SMALL, Conformance, Make, gone_soon, make_layer

from sera.errors import SandboxError
from sera.sandboxes.contract import Layer, Limits
from sera.sandboxes.namespaces import Namespaces, NamespacesConfig

_ORDINARY_USER = 54321
_INNER = "SERA_TEST_ORDINARY_USER"


class TestNamespaces(Conformance):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls) -> Make:
        def make(layer: Layer, limits: Limits) -> Namespaces:
            return Namespaces(layer, NamespacesConfig(limits=limits))

        return make


def _others_may_use(path: Path) -> bool:
    return all(step.stat().st_mode & 0o001 for step in (path.resolve(), *path.resolve().parents))


def _public_interpreter() -> Path | None:
    """This version of Python where an ordinary user may run it."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [Path(sys.executable), Path("/usr/bin") / name, Path("/usr/local/bin") / name]
    return next((path for path in candidates if path.exists() and _others_may_use(path)), None)


@pytest.mark.skipif(os.getuid() != 0, reason="these tests run as an ordinary user already")
def test_as_an_ordinary_user() -> None:
    interpreter = _public_interpreter()
    if interpreter is None:
        pytest.skip("no interpreter of this version outside of directories closed to ordinary users")
    if not _others_may_use(Path(__file__)) and not _others_may_use(Path(__file__).parent):
        pytest.skip("the tests lie in a directory closed to ordinary users")
    with tempfile.TemporaryDirectory(prefix="sera-ordinary-") as home:
        os.chown(home, _ORDINARY_USER, _ORDINARY_USER)
        environment = {
            "HOME": home,
            "TMPDIR": home,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(
                path for path in sys.path if path.endswith(("site-packages", "/src"))
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
            _INNER: "1",
        }
        command = [
            str(interpreter),
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-x",
            "-k",
            "TestNamespaces",
            __file__,
        ]
        done = subprocess.run(
            command,
            env=environment,
            user=_ORDINARY_USER,
            group=_ORDINARY_USER,
            extra_groups=[],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=150,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout[-1500:])


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


def test_the_layer_keeps_its_owner(tmp_path: Path) -> None:
    layer = make_layer(tmp_path / "tree")

    async def scene() -> None:
        async with Namespaces(layer) as backend, backend.sandbox() as box:
            assert (
                await box.run("echo x >> README.md; rm -r docs; stat -c %U tool.sh", 5)
            ).output == "user\n"

    asyncio.run(scene())
    assert {path.lstat().st_uid for path in layer.tree.rglob("*")} == {os.getuid()}
