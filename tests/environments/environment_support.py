"""A project whose environment can be built without any network, and without any package but pip."""

import http.server
import os
import shutil
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

BACKEND = '''\
"""A build backend inside the tree: it makes a wheel with the standard library, and a file that the tree has not."""
import os, pathlib, socket, zipfile

METADATA = """Metadata-Version: 2.1
Name: tinycalc
Version: 1.5
Requires-Dist: companion
Requires-Dist: far @ https://example.org/far.zip
Provides-Extra: tests
Requires-Dist: nowhere-to-be-found ; extra == "tests"
"""


def build_wheel(folder, settings=None, metadata=None):
    pathlib.Path("/tmp/sera-test-built-on-this-machine").write_text("")
    try:
        socket.create_connection(("192.0.2.1", 80), 1)
        raise SystemExit("there is a network")
    except OSError:
        pass
    with zipfile.ZipFile(os.path.join(folder, "tinycalc-1.5-py3-none-any.whl"), "w") as wheel:
        for file in sorted(pathlib.Path("src").rglob("*.py")):
            wheel.write(file, file.relative_to("src"))
        wheel.writestr("tinycalc/_version.py", "version = %r\\n" % os.environ["SETUPTOOLS_SCM_PRETEND_VERSION"])
        wheel.writestr("tinycalc-1.5.dist-info/METADATA", METADATA)
        wheel.writestr("tinycalc-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\\n")
        wheel.writestr("tinycalc-1.5.dist-info/entry_points.txt", "[console_scripts]\\ntinycalc = tinycalc:main\\n")
    return "tinycalc-1.5-py3-none-any.whl"
'''
PYPROJECT = """\
[build-system]
requires = []
build-backend = "inhouse"
backend-path = ["backend"]
[project]
name = "tinycalc"
dynamic = ["version"]
[project.optional-dependencies]
tests = ["nowhere-to-be-found"]
"""
TESTS = """\
import socket
import unittest

from tinycalc import double
from tinycalc._version import version


class TestDouble(unittest.TestCase):
    def test_double(self):
        self.assertEqual(double(2), 4)

    def test_version(self):
        self.assertEqual(version, "0.0.0")

    def test_network(self):
        socket.getaddrinfo("example.org", 80)

    @unittest.skip("not today")
    def test_later(self):
        pass
"""
SOURCE = '''\
"""A tiny package."""


def double(number):
    """Twice a number."""
    if number is None:
        raise ValueError("no number")
    result = number * 2
    return result


def main():
    """The command."""
    text = str(double(21))
    print(text)
    return 0
'''
PROJECT = {
    "pyproject.toml": PYPROJECT,
    "backend/inhouse.py": BACKEND,
    "src/tinycalc/__init__.py": SOURCE,
    "tests/test_double.py": TESTS,
}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Write files below a directory and return it."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


def write_wheel(
    folder: Path, name: str, version: str, files: dict[str, str], needs: tuple[str, ...] = ()
) -> Path:
    """A wheel with these files."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
    wheel = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in wheel) + f"{info}/RECORD,,\n"
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in {**wheel, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return file


def fill_index(folder: Path) -> None:
    """Make an index of a few files: pip, as the interpreter brings it, a release of the project, and a dependency that
    carries a copy of the project and asks for its release."""
    folder.mkdir()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for file in (Path(sys.base_prefix) / "lib" / version / "ensurepip" / "_bundled").glob("pip-*.whl"):
        shutil.copy(file, folder)
    write_wheel(
        folder, "tinycalc", "9.9", {"tinycalc/__init__.py": "def double(number): return 'the answer'\n"}
    )
    copy = {"companion/__init__.py": "", "companion/_vendor/tinycalc/__init__.py": SOURCE}
    write_wheel(folder, "companion", "3.0", copy, needs=("tinycalc>=1",))


def add_installed(folder: Path, *names: str) -> None:
    """Put packages of this interpreter into the index, as wheels made of their files."""
    for name in names:
        there = distribution(name)
        with zipfile.ZipFile(folder / f"{name}-{there.version}-py3-none-any.whl", "w") as archive:
            for file in there.files or []:
                if ".." not in file.parts and file.suffix != ".pyc":
                    archive.writestr(str(file), file.read_binary())


def only(folder: Path) -> dict[str, str]:
    """Variables that make uv and pip use that index, and nothing else."""
    settings = folder / "uv.toml"
    settings.write_text(f"[pip]\nno-index = true\nfind-links = ['{folder}']\n", "utf-8")
    for_pip = {"PIP_FIND_LINKS": str(folder), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    return {"UV_CONFIG_FILE": str(settings), **for_pip}


@contextmanager
def watched() -> Iterator[tuple[str, list[str]]]:
    """An address that nobody should ask for anything, and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
