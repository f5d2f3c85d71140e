"""A repository that names addresses wherever a requirement can stand: none is asked for anything, by uv or by pip."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from environment_support import fill_index, only, watched, write_tree, write_wheel

from sera.environments.commands import CommandFailed, Log, run
from sera.environments.indexes import identity, pip_variables, uv_variables
from sera.environments.installers import Pip, Uv, Wanted, find_installer
from sera.environments.interpreters import find_interpreters
from sera.environments.project import read_project
from sera.environments.requirements import plainly

ADDRESSES = [
    "far@{a}/far.whl", "far @{a}/far.whl", "far@ {a}/far.whl", "far[x]@{a}/far.zip", "far @ {a}/far.whl ; python_version > '3'",
    "far@git+{a}/far", "git+{a}/far", "{a}/far.whl", "far @ file:///far.whl", "./far", "-e .", "-e far@{a}", "-r more.txt",
    "--index-url {a}", "--extra-index-url={a}", "-f {a}", "--find-links={a}", "-c {a}/pins.txt", "far\n--index-url {a}",
    "far ; extra == '\n--find-links {a}\n'", "far ; extra == 'x --find-links={a}'", "far ; extra == '${{HOME}}'", "far # {a}",
    "far===1 @ {a}", "far===@{a}", "far\u2028@ {a}", "far\\\n@ {a}", "far ; " + "(" * 900, "x" * 2000, "",
]  # fmt: skip
PLAIN = {
    "six": "six", " Six ": "six", "zope.interface>=5 ; python_version > '3'": 'zope-interface>=5 ; python_version > "3"',
    "six (>=1.0)": "six>=1.0", "pytest[Testing,b]==7.*": "pytest[b,testing]==7.*", "old>=1.*,<3": "old<3,>=1",
    "odd===2011k": "odd===2011k", "epoch!=1!2.0": "epoch!=1!2.0", "far.whl": "far-whl",
}  # fmt: skip
BACKEND = '''\
import os, zipfile

ADDRESS = {address!r}
METADATA = """Metadata-Version: 2.1
Name: reaching
Version: 1.0
Requires-Dist: one@{{a}}/one-1.0-py3-none-any.whl
requires-dist: two @ {{a}}/two-1.0-py3-none-any.whl
REQUIRES-DIST: three[x]@{{a}}/three-1.0-py3-none-any.whl ; python_version > '3'
Provides-Extra: tests
Requires-Dist: eight@{{a}}/eight-1.0-py3-none-any.whl ; extra == 'tests'
Requires-Dist: companion
Requires: nine@{{a}}
"""


def get_requires_for_build_wheel(settings=None):
    return [f"ten@{{ADDRESS}}/ten-1.0-py3-none-any.whl", f"--find-links={{ADDRESS}}", f"companion\\n-f {{ADDRESS}}"][:{asks}]


def build_wheel(folder, settings=None, metadata=None):
    with zipfile.ZipFile(os.path.join(folder, "reaching-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.write("reaching/__init__.py")
        wheel.writestr("reaching-1.0.dist-info/METADATA", METADATA.replace("{{a}}", ADDRESS))
    return "reaching-1.0-py3-none-any.whl"
'''
PYPROJECT = """\
[build-system]
requires = ["a1@{a}/a1.whl"]
build-backend = "inhouse"
backend-path = ["."]
[project]
name = "reaching"
version = "1.0"
dependencies = ["a2@{a}/a2.whl", "a3\\n--find-links {a}"]
[project.optional-dependencies]
tests = ["a4 @{a}/a4.whl"]
"test.] @ {a}/a5.whl ; python_version > '3' #" = []
[dependency-groups]
test = ["a6@ {a}/a6.whl"]
[tool.poetry.group.test.dependencies]
"a7@{a}/a7.whl" = "*"
[tool.uv]
find-links = ["{a}"]
[[tool.uv.index]]
url = "{a}"
default = true
"""
FILES = {
    "reaching/__init__.py": "", "test_it.py": "import unittest, reaching\n\nclass T(unittest.TestCase):\n    def test(self): pass\n",
    "requirements-test.txt": "b1@{a}/b1.whl\n--index-url {a}\n-f {a}\n-e b2@{a}\nb3 \\\n  @ {a}/b3.whl\n",
    "tox.ini": "[testenv]\ndeps =\n  c1@{a}/c1.whl\n  -f{a}\n",
    "uv.lock": '[[package]]\nname = "companion"\nversion = "3.0\\n--index-url {a}"\n',
    "uv.toml": 'find-links = ["{a}"]\n', "pip.conf": "[global]\nindex-url = {a}\n", ".env": "UV_INDEX_URL={a}\n",
}  # fmt: skip


NAMED = ("one", "two", "three", "eight", "a1", "a2", "a4", "a6", "b1", "b2", "b3", "c1")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only packages there are."""
    fill_index(tmp_path / "wheels")
    for name, value in only(tmp_path / "wheels").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SERA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "wheels"


@pytest.mark.parametrize("line", ADDRESSES, ids=range(len(ADDRESSES)))
def test_no_address_is_a_plain_requirement(line: str) -> None:
    assert plainly(line.format(a="http://far.example")) == ""


@pytest.mark.parametrize("line", PLAIN)
def test_a_plain_requirement_is_written_anew(line: str) -> None:
    assert plainly(line) == PLAIN[line]
    assert plainly(PLAIN[line]) == PLAIN[line]


def without_uv(folder: Path) -> Path:
    """A sera that has no uv: an environment of this one's packages, without its programs."""
    venv.create(folder, with_pip=False)
    here = next(folder.glob("lib/python3*/site-packages"))
    (here / "all.pth").write_text("\n".join(path for path in sys.path if Path(path).is_dir()))
    return folder / "bin" / "python"


@pytest.mark.parametrize(("installer", "asks"), [("uv", 0), ("uv", 1), ("uv", 3), ("pip", 0), ("pip", 3)])
def test_nothing_that_a_repository_names_is_asked(
    index: Path, tmp_path: Path, installer: str, asks: int
) -> None:
    with watched() as (address, asked):
        files = {
            name: text.replace("{a}", address)
            for name, text in {**FILES, "pyproject.toml": PYPROJECT}.items()
        }
        project = write_tree(
            tmp_path / "project", {**files, "inhouse.py": BACKEND.format(address=address, asks=asks)}
        )
        python = sys.executable if installer == "uv" else str(without_uv(tmp_path / "alone"))
        path = os.environ["PATH"] if installer == "uv" else "/usr/bin:/bin"
        done = subprocess.run(
            [python, "-m", "sera", "prepare", "."], cwd=project, env=os.environ | {"PATH": path, "COLUMNS": "300"},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert asked == []
    assert done.returncode == 0, done.stdout + done.stderr
    logs = "".join(log.read_text() for log in (tmp_path / "cache" / "environments").glob("*.log"))
    assert ("fenced_pip.py" in logs) == (installer == "pip")
    for name in (*NAMED, "ten")[: len(NAMED) + asks]:
        assert re.search(rf"left out,.* {name} *(\[x\])? *@", done.stdout), name
    for file in (tmp_path / "cache").glob("environments/*/*.txt"):
        assert address not in file.read_text()


def test_names_that_are_none_are_left_out(tmp_path: Path) -> None:
    text = '[project]\nname = "x --index-url y"\n[project.optional-dependencies]\n"test ] @ z" = ["six"]\n'
    project = read_project(write_tree(tmp_path, {"pyproject.toml": text}))
    assert project.name == ""
    assert project.extras == {}
    assert project.refused == ("extra test ] @ z",)


def test_pip_follows_no_address_of_a_package(index: Path, tmp_path: Path) -> None:
    """What `--only-binary` does not keep it from."""
    prefix, log = tmp_path / "prefix", Log(tmp_path / "log")
    with watched() as (address, asked):
        write_wheel(index, "middle", "1.0", {"middle.py": ""}, needs=(f"far @ {address}/far-1.0.tar.gz",))
        Pip().create(prefix, find_interpreters()[0], log)
        for wanted in (
            Wanted(requirements=("middle",)),
            Wanted(requirements=(f"far@{address}/far.whl", "middle")),
        ):
            with pytest.raises(CommandFailed):
                Pip().resolve(prefix, wanted, log)
    assert asked == []


def test_pip_runs_nothing(index: Path, tmp_path: Path) -> None:
    """Not even of a source archive that the user names: its build would run here."""
    mark, prefix, log = tmp_path / "mark", tmp_path / "prefix", Log(tmp_path / "log")
    source = write_tree(
        tmp_path / "far",
        {"setup.py": f"open({str(mark)!r}, 'w').close()\nimport setuptools\nsetuptools.setup(name='far')\n"},
    )
    Pip().create(prefix, find_interpreters()[0], log)
    with pytest.raises(CommandFailed):
        Pip().install(prefix, Wanted(requirements=(), own=(f"far @ {source.as_uri()}",)), log)
    assert not mark.exists()
    assert "no program is run" in log.path.read_text()


def test_installers_find_no_settings_but_those_of_the_index(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with watched() as (address, asked):
        home = write_tree(tmp_path / "home", {
            ".config/uv/uv.toml": f'index-url = "{address}"\n', ".config/pip/pip.conf": f"[global]\nindex-url = {address}\nfind-links = {address}\n",
            ".pip/pip.conf": f"[install]\nextra-index-url = {address}\n",
        })  # fmt: skip
        for name in (
            "PIP_INDEX_URL",
            "PIP_EXTRA_INDEX_URL",
            "PIP_FIND_LINKS",
            "UV_INDEX_URL",
            "UV_DEFAULT_INDEX",
            "UV_INDEX",
            "UV_FIND_LINKS",
        ):
            monkeypatch.setenv(name, address)
        for name in (
            "PIP_REQUIREMENT",
            "PIP_CONSTRAINT",
            "UV_CONSTRAINT",
            "UV_OVERRIDE",
            "PIP_TARGET",
            "PIP_NO_BINARY",
        ):
            monkeypatch.setenv(name, str(tmp_path / "nothing"))
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("DEMO_API_KEY", "not to be seen")
        (tmp_path / "simple" / "alone").mkdir(parents=True)
        wheel = write_wheel(tmp_path / "simple" / "alone", "alone", "1.0", {"alone.py": ""})
        (wheel.parent / "index.html").write_text(f'<a href="{wheel.as_uri()}">{wheel.name}</a>')
        log = Log(tmp_path / "log")
        for installer in (find_installer(), Pip()):
            prefix = tmp_path / installer.name / "prefix"
            prefix.parent.mkdir()
            installer.create(prefix, find_interpreters()[0], log)
            installer.install(
                prefix, Wanted(requirements=("alone",), index=(tmp_path / "simple").as_uri()), log
            )
            assert list(prefix.glob("lib/python3*/site-packages/alone.py"))
    assert asked == []
    assert isinstance(find_installer(), Uv)
    said = run(["/usr/bin/env"], log)
    assert "DEMO_API_KEY" not in said
    assert "PIP_" not in said
    assert str(home) not in said


def test_an_index_of_the_user_is_part_of_the_key_and_its_password_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@in.example/simple")
    first = identity("")
    assert pip_variables("")["PIP_INDEX_URL"] == "https://me:secret@in.example/simple"
    assert "secret" not in str(first)
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:other@in.example/simple")
    assert identity("") == first
    monkeypatch.setenv("PIP_INDEX_URL", "https://out.example/simple")
    assert identity("") != first
    assert "PIP_INDEX_URL" not in uv_variables("https://told.example")
    assert identity("https://me:secret@told.example/simple") == ["https://told.example/simple"]
