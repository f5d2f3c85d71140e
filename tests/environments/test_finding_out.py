"""What is found out about a project: everything is read, nothing is run."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from environment_support import write_tree

from sera.environments.config import EnvironmentConfig
from sera.environments.needs import for_tests
from sera.environments.project import read_project
from sera.environments.suites import read_suite
from sera.environments.versions import satisfies, translated
from sera.errors import UsageError

PEP_621 = """\
[build-system]
requires = ["hatchling>=1.2", "hatch-vcs"]
build-backend = "hatchling.build"
[project]
name = "alpha"
dynamic = ["version"]
requires-python = ">=3.8"
dependencies = ["attrs>=20", "tool @ https://example.org/tool.zip"]
classifiers = ["Programming Language :: Python :: 3.9", "Programming Language :: Python :: 3.11"]
[project.optional-dependencies]
tests = ["pytest>=7"]
docs = ["sphinx"]
[dependency-groups]
common = ["hypothesis"]
test = [{include-group = "common"}, "pytest-mock"]
lint = ["ruff"]
[tool.hatch.envs.hatch-test]
extra-dependencies = ["coverage"]
"""
POETRY = """\
[tool.poetry]
name = "beta"
version = "2.1"
[tool.poetry.dependencies]
python = "^3.9"
requests = "^2.1"
local = {path = "../local"}
[tool.poetry.group.test.dependencies]
pytest = {version = "^7.1", extras = ["all"]}
[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""
SETUP_PY = """\
from setuptools import setup
VERSION = "0.3"
raise SystemExit("never run")
setup(name="gamma", version=VERSION, python_requires=">=3.7", tests_require=["mock"],
      extras_require={"testing": ["nose"], ":python_version<'3'": ["six"]}, install_requires=open("x").read())
"""


def test_the_standard_way(tmp_path: Path) -> None:
    project = read_project(write_tree(tmp_path, {"pyproject.toml": PEP_621, ".python-version": "3.11.4\n"}))
    assert (project.name, project.version, project.backend) == ("alpha", "", "hatchling.build")
    assert project.build_requires == ("hatchling>=1.2", "hatch-vcs")
    assert project.requires_python == ">=3.8"
    assert project.versions == ("3.9", "3.11")
    assert project.preferred == "3.11.4"
    assert project.dependencies == ("attrs>=20",)
    assert project.refused == ("dependencies: tool @ https://example.org/tool.zip",)
    found = {(source.kind, source.name): source.requirements for source in project.sources}
    assert found["group", "test"] == ("hypothesis", "pytest-mock")
    assert found["hatch", "hatch-test"] == ("coverage",)


def test_poetry(tmp_path: Path) -> None:
    project = read_project(write_tree(tmp_path, {"pyproject.toml": POETRY}))
    assert (project.name, project.version, project.requires_python) == ("beta", "2.1", "^3.9")
    assert project.dependencies == ("requests>=2.1,<3",)
    assert [source.requirements for source in project.sources] == [("pytest[all]>=7.1,<8",)]


def test_a_setup_py_is_read_and_not_run(tmp_path: Path) -> None:
    project = read_project(write_tree(tmp_path, {"setup.py": SETUP_PY}))
    assert (project.name, project.version, project.backend) == ("gamma", "0.3", "")
    assert project.buildable
    assert dict(project.extras) == {"testing": ("nose",)}
    assert [source.requirements for source in project.sources] == [("mock",)]


def test_what_is_no_requirement_is_left_out_and_named(tmp_path: Path) -> None:
    lines = "--index-url https://evil.example\n-e .\n-r more.txt\n-r ../../etc/passwd\nnumpy==1.2 --hash=sha256:00 # why\ngit+https://x/y\n"
    write_tree(
        tmp_path,
        {
            "requirements-test.txt": lines,
            "more.txt": "mock ; python_version > '3'\n--requirement requirements-test.txt\n-cpins.txt\n",
        },
    )
    project = read_project(tmp_path)
    found = next(source for source in project.sources if source.name == "requirements-test.txt")
    assert set(found.requirements) == {"mock ; python_version > '3'", "numpy==1.2"}
    assert "requirements-test.txt: --index-url https://evil.example" in project.refused
    assert "requirements-test.txt: -e ." in project.refused


@pytest.mark.parametrize(
    "line",
    [
        "dependency-groups = {test = 5}",
        "dependency-groups = {test = 'pytest'}",
        "tool.poetry.dependencies = {six = {version = '1', extras = [1]}}",
        "tool.poetry.group = {test = {dependencies = [1]}}",
        "project = 5",
        "build-system.requires = {a = 1}",
    ],
)
def test_values_of_another_type_count_as_missing(tmp_path: Path, line: str) -> None:
    project = read_project(write_tree(tmp_path, {"pyproject.toml": f"{line}\n"}))
    assert not [source for source in project.sources if source.kind == "group"]


def test_other_places(tmp_path: Path) -> None:
    files = {
        "tox.ini": "[tox]\nenvlist = py{38,310},py312\n[testenv]\ndeps =\n  py38: six\n  py310-min: six==1.0\n  docs,style: sphinx\n  -r{toxinidir}/t.txt\n[testenv:docs]\ndeps = sphinx\n",
        "t.txt": "flaky\n",
        "noxfile.py": "def tests(session):\n    session.install('-e', '.')\n    session.install('coverage', 'nox-only')\ndef docs(session):\n    session.install('sphinx')\n",
        "environment.yml": "dependencies:\n  - python=3.10\n  - numpy=1.26\n  - conda-forge::scipy>=1.9\n  - pip:\n    - flask==2\n",
        "poetry.lock": '[[package]]\nname = "Six"\nversion = "1.16"\n[[package]]\nname = "a"\nversion = "1"\n[[package]]\nname = "a"\nversion = "2"\n',
    }
    project = read_project(write_tree(tmp_path, files))
    found = {source.kind: source.requirements for source in project.sources}
    assert found["tox"] == ("six", "flaky")
    assert found["nox"] == ("coverage", "nox-only")
    assert found["conda"] == ("numpy==1.26.*", "scipy>=1.9", "flask==2")
    assert project.versions == ("3.8", "3.10", "3.12")
    assert project.preferred == "3.10"
    assert (project.lock, project.locked) == ("poetry.lock", ("six==1.16",))


@pytest.mark.parametrize(
    "text",
    [
        "[project",
        "project = 3\n",
        "[project]\nname = 3\ndependencies = 7\nclassifiers = 1\n",
        "[build-system]\nrequires = 1\nbackend-path = 2\n[tool]\nhatch = 1\npoetry = []\n",
    ],
)
def test_nonsense_counts_as_nothing(tmp_path: Path, text: str) -> None:
    project = read_project(
        write_tree(tmp_path, {"pyproject.toml": text, "setup.cfg": "no section\n", "setup.py": "def (\n"})
    )
    assert (project.name, project.dependencies, project.sources) == ("", (), ())


SUITES = [
    ({"pytest.ini": ""}, "pytest"),
    ({"setup.cfg": "[tool:pytest]\n"}, "pytest"),
    ({"test_a.py": "import pytest\n"}, "pytest"),
    ({"test/test_a.py": "import unittest\n"}, "unittest"),
    ({"test/test_a.py": "from nose.tools import eq_\n"}, "nose"),
    ({"test_a.py": "def test_a(): pass\n"}, "pytest"),
    ({"tests/runtests.py": "", "django/__init__.py": "", "tests/test_a.py": "import pytest\n"}, "django"),
    ({"sympy/testing/runtests.py": "", "pytest.ini": ""}, "sympy"),
    ({"a.py": ""}, "none"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "runner"), SUITES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_runner(tmp_path: Path, files: dict[str, str], runner: str) -> None:
    tree = write_tree(tmp_path, files)
    suite = read_suite(tree, read_project(tree))
    assert suite.runner == runner
    assert suite.reason


def test_only_well_known_modules_are_looked_for(tmp_path: Path) -> None:
    text = "import yaml\nimport os\nimport own\nimport nobody_knows_this\nfrom dateutil import tz\ntry:\n    import numpy\nexcept ImportError: pass\n"
    tree = write_tree(tmp_path, {"tests/test_a.py": text, "own/__init__.py": ""})
    assert read_suite(tree, read_project(tree)).imports == ("python-dateutil", "pyyaml")


def chosen(tree: Path, **told: object) -> tuple[tuple[str, ...], set[str]]:
    project = read_project(tree)
    extras, sources, _ = for_tests(tree, project, read_suite(tree, project), EnvironmentConfig(**told))  # type: ignore[arg-type]
    return extras, {source.name for source in sources}


def test_what_tests_need_is_told_by_names_and_by_the_user(tmp_path: Path) -> None:
    tree = write_tree(
        tmp_path,
        {"pyproject.toml": PEP_621, "requirements/docs.txt": "sphinx\n", "requirements.txt": "six\n"},
    )
    assert chosen(tree) == (("tests",), {"test", "hatch-test", "requirements.txt"})
    assert chosen(tree, extras=("docs",), groups=(), requirements=()) == (("docs",), set())
    with pytest.raises(UsageError, match="it has tests, docs"):
        chosen(tree, extras=("no",))


def test_work_groups_are_taken_where_there_is_none_for_tests(tmp_path: Path) -> None:
    tree = write_tree(
        tmp_path, {"pyproject.toml": '[dependency-groups]\ndev = ["pytest"]\ndocs = ["sphinx"]\n'}
    )
    assert chosen(tree) == ((), {"dev"})


SPECIFIERS = [
    (">=3.8", [(3, 8), (3, 11, 7)], [(3, 7, 16), (2, 7)]),
    (">=3.8,<3.11", [(3, 10, 13)], [(3, 11, 7)]),
    ("~=3.9", [(3, 9), (3, 12)], [(4, 0)]),
    ("~=3.9.1", [(3, 9, 4)], [(3, 10, 1)]),
    ("^3.9", [(3, 9, 1), (3, 12)], [(4, 0), (3, 8)]),
    ("~3.9", [(3, 9, 9)], [(3, 10)]),
    ("==3.10.*", [(3, 10, 13)], [(3, 11)]),
    ("!=3.0.*,!=3.1.*,>=2.7", [(2, 7, 18), (3, 2)], [(3, 1, 4)]),
    ("^2.7 || ^3.8", [(2, 7, 1), (3, 9)], [(3, 7)]),
    ("<=3.11", [(3, 11, 7)], [(3, 12)]),
    (">3.7", [(3, 8)], [(3, 7, 16)]),
]  # fmt: skip


@pytest.mark.parametrize(("specifier", "good", "bad"), SPECIFIERS)
def test_versions_of_python(
    specifier: str, good: Iterable[tuple[int, ...]], bad: Iterable[tuple[int, ...]]
) -> None:
    assert all(satisfies(version, specifier) for version in good)
    assert not any(satisfies(version, specifier) for version in bad)


def test_constraints_of_poetry() -> None:
    wanted = {
        "^1.2": ">=1.2,<2",
        "^0.2.3": ">=0.2.3,<0.3",
        "~1.2": ">=1.2,<1.3",
        "~1": ">=1,<2",
        "*": "",
        ">=1,<2": ">=1,<2",
        "1.2": "==1.2",
        "1.*": "==1.*",
    }
    assert {constraint: translated(constraint) for constraint in wanted} == wanted


@pytest.mark.parametrize("files", [
    {"requirements.txt": "-r requirements.txt\n-r dev/requirements.txt\n" * 30 + "six\n", "dev/requirements.txt": "-r ../requirements.txt\n" * 60},
    {"pyproject.toml": '[dependency-groups]\na = ["six"' + ', {include-group = "b"}' * 60 + ']\nb = ["attrs"' + ', {include-group = "a"}' * 60 + "]\n"},
    {"tox.ini": "[testenv]\ndeps =\n" + "".join(f"  f{n}: -r r/all.txt\n" for n in range(3000)), "r/all.txt": "six\n" * 3000},
], ids=["files", "groups", "tox"])  # fmt: skip
def test_lines_that_include_each_other_are_read_once(tmp_path: Path, files: dict[str, str]) -> None:
    project = read_project(write_tree(tmp_path, files))
    found = {line for source in project.sources for line in source.requirements}
    assert "six" in found
    assert sum(len(source.requirements) for source in project.sources) < 10


def test_lines_without_end_are_cut_and_named(tmp_path: Path) -> None:
    project = read_project(
        write_tree(tmp_path, {"requirements.txt": "".join(f"p{n}\n" for n in range(9000))})
    )
    assert len(project.sources[0].requirements) == 5000
    assert project.refused == ("requirements.txt: 4000 further lines",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_marks_of_an_encoding_are_no_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "requirements.txt").write_bytes("six\r\nattrs>=20\r\n".encode(encoding))
    (tmp_path / "pyproject.toml").write_bytes('[project]\nname = "marked"\r\n'.encode(encoding))
    project = read_project(tmp_path)
    assert project.name == "marked"
    assert project.sources[0].requirements == ("six", "attrs>=20")
    assert project.refused == ()
