"""Packages as of the day of a commit: which days, what uv is told, and an index that says when it got what."""

import datetime
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from environment_support import fill_index, write_tree, write_wheel

from sera.environments import Environment, PrepareConfig, prepare
from sera.environments.config import as_texts
from sera.environments.dates import choose_dates, options
from sera.environments.interpreters import choose_interpreter, find_interpreters
from sera.errors import PrepareError, UsageError
from sera.repositories import open_snapshot
from sera.settings import load_config

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
PROJECT = {
    "pyproject.toml": '[project]\nname = "dated"\nversion = "1"\ndependencies = ["companion"]\n',
    "dated.py": "import companion\ncompanion.spoken()\n",
}
OLD, NEW = "def spoken(): pass\n", "def shouted(): pass\n"


def days(*told: str, python: tuple[int, ...] = (3, 8), datable: bool = True) -> list[tuple[str, str]]:
    wanted, tools, committed = told
    found = choose_dates(wanted, tools, committed, python, datable, NOW)
    return [(one.dependencies, one.tools) for one in found]


def test_an_old_commit_is_tried_as_of_its_day_first() -> None:
    assert days("", "", "2023-03-11T23:00:00-05:00") == [("2023-03-12", "2023-03-12"), ("", "")]


def test_tools_know_the_python_that_is_used() -> None:
    assert days("", "", "2019-01-21") == [
        ("2019-01-21", "2020-04-04"), ("2020-04-04", "2020-04-04"), ("", ""),
    ]  # fmt: skip


def test_what_is_said_counts() -> None:
    assert days("2018-05-01", "", "2023-03-11") == [("2018-05-01", "2020-04-04")]
    assert days("2018-05-01", "none", "") == [("2018-05-01", "")]
    assert days("", "2021-01-01", "2022-03-11")[0] == ("2022-03-11", "2021-01-01")
    assert days("none", "", "2018-05-01") == [("", "")]


def test_the_reason_for_the_newest_is_told() -> None:
    def why(committed: str) -> str:
        return choose_dates("", "", committed, (3, 8), True, NOW)[-1].why

    assert why("2049-03-22") == "the commit is of 2049-03-22, which is yet to come"
    assert why("2025-12-20") == "the commit is of 2025-12-20, some weeks ago at most"
    assert why("2018-05-01") == "those of earlier days do not do"


def test_new_commits_and_others_take_the_newest() -> None:
    assert days("", "", "2025-12-20") == days("", "", "") == days("", "", "2027-01-01") == [("", "")]
    assert days("", "", "2018-05-01", datable=False) == [("", "")]


@pytest.mark.parametrize("wrong", ["yesterday", "30 days", "2024-13-01", "x" * 5000])
def test_a_date_that_is_none(wrong: str) -> None:
    with pytest.raises(UsageError, match=r"exclude_newer.*give a day such as 2024-06-01"):
        days(wrong, "", "")
    with pytest.raises(UsageError, match=r"exclude_newer_tools.*give a day such as 2024-06-01"):
        days("2024-01-01", wrong, "")


def test_what_uv_is_told() -> None:
    told = " ".join(options("2019-01-21", "2020-04-04", ["pytest-cov>=2", "requests", "rich"]))
    assert told.startswith("--exclude-newer 2019-01-21 ")
    for tool in ("pytest", "pluggy", "setuptools", "pytest-cov"):
        assert f"--exclude-newer-package {tool}=2020-04-04" in told
    assert "requests" not in told
    assert options("", "", ["pytest-cov"]) == []


def test_the_python_of_an_old_commit() -> None:
    oldest = min(find_interpreters(), key=lambda one: one.release)
    year = 2012 + oldest.release[1]  # no later one was out in January
    assert choose_interpreter(None, "", [], "", f"{year}-01-01")[0].release[:2] == oldest.release[:2]
    assert choose_interpreter(None, "", [], "", "2001-01-01")[0] == find_interpreters()[0]


@contextmanager
def dated_index(folder: Path, published: dict[str, str]) -> Iterator[str]:
    """An index of the wheels in a folder that says when it got them, as PyPI does (PEP 691, 700)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> object:
            kind, _, name = self.path.strip("/").partition("/")
            if kind == "files":
                return self._answer((folder / name).read_bytes(), "application/octet-stream")
            files = [
                {"filename": file.name, "url": f"/files/{file.name}", "hashes": {}, "upload-time": day}
                for file in sorted(folder.glob(f"{name}-*.whl"))
                if (day := published.get("-".join(file.name.split("-")[:2]), "2000-01-01T00:00:00Z"))
            ]
            if not files:
                return self.send_error(404)
            listed = {"meta": {"api-version": "1.1"}, "name": name, "files": files}
            return self._answer(json.dumps(listed).encode(), "application/vnd.pypi.simple.v1+json")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple/"
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of an index with a dependency that changed in 2024."""
    wheels = tmp_path_factory.mktemp("dated") / "wheels"
    fill_index(wheels)
    write_wheel(wheels, "companion", "1.0", {"companion.py": OLD})
    (wheels / "companion-3.0-py3-none-any.whl").unlink()
    write_wheel(wheels, "companion", "2.0", {"companion.py": NEW})
    published = {"companion-1.0": "2023-01-01T00:00:00Z", "companion-2.0": "2024-01-01T00:00:00Z"}
    with dated_index(wheels, published) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERA_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("UV_CACHE_DIR", str(tmp_path_factory.mktemp("uv")))
        yield found


def prepared(root: Path, files: dict[str, str], when: str, index: str, *pairs: str) -> Environment:
    """The environment of a repository with one commit of that day."""
    write_tree(root, files)
    who = {
        f"GIT_{role}_{what}": "a@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    env = os.environ | who | {"GIT_COMMITTER_DATE": f"{when}T12:00:00Z", "GIT_CONFIG_GLOBAL": "/dev/null"}
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run(["git", *words], cwd=root, env=env, check=True)
    own = f"environment.python={sys.version_info.major}.{sys.version_info.minor}"
    told = ("environment.build=false", own, f"environment.index={index}", *pairs)
    return prepare(open_snapshot(str(root)), load_config(PrepareConfig, pairs=as_texts(told)))


def of_companion(environment: Environment) -> list[str]:
    return [one for one in environment.checked.packages if one.startswith("companion")]


def decided(environment: Environment) -> str:
    return next(f"{one.choice}: {one.why}" for one in environment.plan.decisions if one.what == "packages")


def test_an_old_commit_gets_the_packages_of_its_day(tmp_path: Path, address: str) -> None:
    environment = prepared(tmp_path / "r", PROJECT, "2023-06-01", address)
    assert of_companion(environment) == ["companion==1.0"]
    assert environment.works
    assert decided(environment).startswith("as of 2023-06-01")
    newest = prepared(tmp_path / "n", PROJECT, "2023-06-01", address, "environment.exclude_newer=none")
    assert of_companion(newest) == ["companion==2.0"]
    assert not newest.works


def test_without_anything_usable_of_that_day_later_ones_are_tried(tmp_path: Path, address: str) -> None:
    files = {**PROJECT, "dated.py": "import companion\ncompanion.shouted()\n"}
    environment = prepared(tmp_path / "r", files, "2023-06-01", address)
    assert of_companion(environment) == ["companion==2.0"]
    assert environment.works
    assert environment.warnings[0].startswith(
        "packages as of 2023-06-01 (the day of the commit) do not work: import dated"
    )
    before = prepared(tmp_path / "b", PROJECT, "2022-06-01", address, "environment.import_names=[]")
    assert "no release that is asked for is as old as the packages are to be: companion" in before.warnings[0]


def test_a_date_that_is_said_is_kept_to(tmp_path: Path, address: str) -> None:
    with pytest.raises(PrepareError, match=r"no release that is asked for is as old .*: companion"):
        prepared(tmp_path / "r", PROJECT, "2023-06-01", address, "environment.exclude_newer=2022-01-01")
