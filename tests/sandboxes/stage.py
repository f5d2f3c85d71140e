"""What the suites of every sandbox backend share: a small layer, tight limits, scenes to play in a sandbox."""

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from sera.sandboxes.contract import Backend, Layer, Limits, Sandbox

Make = Callable[[Layer, Limits], Backend]
Body = Callable[[Sandbox], Awaitable[None]]
Play = Callable[[Body], None]

SMALL = Limits(
    memory_bytes=256 << 20,
    processes=64,
    disk_bytes=64 << 20,
    files=2000,
    output_bytes=64 << 10,
    read_bytes=1 << 20,
)
SCENE_SECONDS = 40.0


def make_layer(tree: Path) -> Layer:
    files = {
        "README.md": b"read me\n",
        "package/__init__.py": b"",
        "package/module.py": b"def f():\n    return 1\n",
        "package/data.bin": bytes(range(256)) * 8,
        "tool.sh": b"#!/bin/sh\necho tool\n",
        ".gitignore": b"build/\n*.log\n",
        "docs/guide/deep.txt": b"deep\n",
    }
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tree / "tool.sh").chmod(0o755)
    (tree / "link").symlink_to("README.md")
    return Layer(tree=tree, commit=commit_all(tree))


def commit_all(tree: Path) -> str:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", "-C", str(tree), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "layer")
    return git("rev-parse", "HEAD").strip()


def close_history(layer: Layer) -> None:
    """Take from all but the owner the right to read a layer's `.git`."""
    for path in (layer.tree / ".git", *(layer.tree / ".git").rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)


def alive_with(marker: str) -> list[str]:
    """Command lines on this host that contain the marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in text and int(path.parent.name) != os.getpid():
            found.append(text)
    return found


def gone_soon(marker: str) -> bool:
    deadline = time.monotonic() + 3
    while alive_with(marker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Stage:
    """Inherit and provide `make`, of scope `class`: a function of a layer and limits that returns a backend."""

    @pytest.fixture(scope="class")
    @classmethod
    def layer(cls, tmp_path_factory: pytest.TempPathFactory) -> Layer:
        return make_layer(tmp_path_factory.mktemp("layer") / "tree")

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[asyncio.Runner]:
        with asyncio.Runner() as runner:
            yield runner

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, make: Make, layer: Layer, runner: asyncio.Runner) -> Iterator[Backend]:
        """One backend for all tests that do not need their own: what one does must not reach the next."""
        backend = make(layer, SMALL)
        yield runner.run(backend.__aenter__())
        runner.run(backend.__aexit__(None, None, None))

    @pytest.fixture
    def play(self, backend: Backend, runner: asyncio.Runner) -> Play:
        """Run a scene in a fresh sandbox."""

        def play(body: Body) -> None:
            async def scene() -> None:
                async with asyncio.timeout(SCENE_SECONDS), backend.sandbox() as box:
                    await body(box)

            runner.run(scene())

        return play

    @pytest.fixture
    def play_beside(self, backend: Backend, runner: asyncio.Runner) -> Callable[[Body], float]:
        """Run a scene in a fresh sandbox; the longest a neighbour's trivial command took meanwhile."""

        def play(body: Body) -> float:
            async def neighbour(box: Sandbox, hostile: "asyncio.Task[None]") -> float:
                longest = 0.0
                while not hostile.done():
                    start = time.monotonic()
                    result = await box.run("echo fine", 10)
                    longest = max(longest, time.monotonic() - start)
                    assert result.output == "fine\n"
                    await asyncio.sleep(0.05)
                return longest

            async def scene() -> float:
                async with (
                    asyncio.timeout(SCENE_SECONDS),
                    backend.sandbox() as bad,
                    backend.sandbox() as good,
                ):
                    await good.run("true", 10)
                    hostile = asyncio.create_task(_played(body, bad))
                    longest = await neighbour(good, hostile)
                    await hostile
                    return longest

            return runner.run(scene())

        return play


async def _played(body: Body, box: Sandbox) -> None:
    await body(box)
