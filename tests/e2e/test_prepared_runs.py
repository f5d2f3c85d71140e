"""`sera prepare` by the command line, and runs that use what it made."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from environment_support import PROJECT, fill_index, only, write_tree
from repository_support import git, repository
from user_shell import SERA, Sera, environment


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, a cache of its own, and what there is of an index."""
    place = tmp_path_factory.mktemp("prepared")
    write_tree(place / "project", PROJECT)
    (place / "cache").mkdir()
    fill_index(place / "wheels")
    return place


@pytest.fixture
def more(place: Path) -> dict[str, str]:
    """Variables of the shell."""
    return {"SERA_CACHE": str(place / "cache"), **only(place / "wheels")}


def test_prepare_and_generate(sera: Sera, place: Path, more: dict[str, str]) -> None:
    project, run = place / "project", place / "run"
    bare = sera("generate", project, "--out", place / "bare", "--functions", 1, **more)
    assert "no environment is prepared" in bare.stderr
    told = json.loads(sera("prepare", project, "--json", "--out", place / "list.json", **more).stdout)[0]
    assert (told["works"], told["passed"], told["failed"], told["skipped"]) == (True, 2, 1, 1)
    assert json.loads((place / "list.json").read_text())["environments"][0]["path"] == told["path"]
    shown = sera("prepare", project, **more).stdout
    assert "python -m unittest discover -s tests" in shown
    assert "it needs the network" in shown

    used = sera("generate", project, "--out", run, "--functions", 2, **more)
    assert "no environment" not in used.stderr
    assert json.loads((run / "run.json").read_text())["identity"]["environment"] == told["digest"]
    sera(
        "generate", project, "--out", place / "again", "--functions", 2, "--environment", told["path"], **more
    )
    rollouts = [
        [
            line["messages"]
            for line in map(json.loads, (place / name / "rollouts.jsonl").read_text().splitlines())
        ]
        for name in ("run", "again")
    ]
    assert sorted(map(str, rollouts[0])) == sorted(map(str, rollouts[1]))

    kept = sera("generate", project, "--out", place / "bare", "--functions", 1, **more)
    assert "environment" not in json.loads((place / "bare" / "run.json").read_text())["identity"], kept.stderr
    refused = sera(
        "generate", project, "--out", run, "--functions", 2, "--environment", "none", code=2, **more
    )
    assert "environment was" in refused.stderr
    shutil.rmtree(told["path"])
    gone = sera("generate", project, "--out", run, "--functions", 2, code=1, **more)
    assert "which is gone: `sera prepare" in gone.stderr


def test_commits_share_an_environment(sera: Sera, place: Path, more: dict[str, str]) -> None:
    history = place / "history"
    write_tree(history, PROJECT)
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def git(*words: str, day: int = 1) -> None:
        when = {
            f"GIT_{role}_DATE": f"{1_700_000_000 + day * 86_400} +0000" for role in ("AUTHOR", "COMMITTER")
        }
        subprocess.run(["git", *words], cwd=history, env=os.environ | who | when, check=True, timeout=20)

    git("init", "--quiet")
    for day in (0, 10, 50, 100):
        (history / "src/tinycalc/day.py").write_text(f"day = {day}\n")
        git("add", "--all")
        git("commit", "--quiet", "-m", "day", day=day)
    newest = ["--set", "environment.exclude_newer=none", "--set", "check.tests=0"]
    arguments = ["prepare", history, "--commits", 3, "--since", "100d", *newest]
    told = json.loads(sera(*arguments, "--json", **more).stdout)
    assert len({one["commit"] for one in told}) == len({one["path"] for one in told}) == 3
    assert len({one["prefix"] for one in told}) == 1
    assert all(one["works"] for one in told)
    assert "3 snapshots, 1 environments" in sera(*arguments, **more).stdout
    named = json.loads(
        sera("prepare", history, "--commit", told[1]["commit"], *newest, "--json", **more).stdout
    )
    assert named[0]["path"] == told[1]["path"]


def test_an_interrupt_leaves_nothing_half_done(place: Path, more: dict[str, str]) -> None:
    slow = ["--set", 'environment.before_build=["sleep 60"]', "--set", "check.tests=1"]
    variables = environment(place / "cache", **more)
    command = [str(SERA), "prepare", str(place / "project"), *slow]
    with subprocess.Popen(
        command, env=variables, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr
        assert "building the project" in process.stderr.readline()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip() == "sera: interrupted; everything finished so far is saved"
    left = [
        path
        for path in (place / "cache" / "prepared").glob("*/*")
        if path.is_dir() and not (path / "environment.json").exists()
    ]
    assert left == []


def test_what_goes_wrong_is_one_sentence(sera: Sera, place: Path, more: dict[str, str]) -> None:
    project = place / "project"
    assert "there is no Python 3.1 " in sera("prepare", project, "--python", "3.1", code=1, **more).stderr
    assert (
        "give one of the two"
        in sera("prepare", project, "--commit", "a", "--commits", 2, code=2, **more).stderr
    )
    assert "has no history" in sera("prepare", project, "--commits", 2, code=2, **more).stderr
    assert (
        "is no prepared environment"
        in sera("generate", project, "--out", place / "x", "--environment", place, code=1, **more).stderr
    )
    assert (
        "has no 'no'" in sera("prepare", project, "--set", 'environment.extras=["no"]', code=2, **more).stderr
    )


def test_a_commit_without_an_environment_does_not_end_the_others(
    sera: Sera, place: Path, more: dict[str, str]
) -> None:
    """Each has its reason. A tree without tests is ready, and a version that nothing tells is said."""
    history = repository(
        place / "plain",
        {
            "plain/__init__.py": "def double(number):\n    return 2 * number\n",
            "pyproject.toml": "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
            "[project]\nname = 'plain'\ndynamic = ['version']\n",
        },
    )
    good = git(history, "rev-parse", "HEAD")
    written = (history / "pyproject.toml").read_text()
    repository(history, {"pyproject.toml": f"{written}requires-python = '>=3.99'\n"}, "second")
    bad = git(history, "rev-parse", "HEAD")
    arguments = ["prepare", history, "--commit", good, "--commit", bad]
    told = sera(*arguments, "--json", code=1, **more)
    works = {one["commit"]: (one["works"], one["why_not"]) for one in json.loads(told.stdout)}
    assert works[good] == (True, "")
    assert works[bad][0] is False
    assert "3.99" in works[bad][1]
    shown = sera("prepare", history, "--commit", good, **more).stdout
    assert "ready, no tests in this tree" in shown
    assert "no tag and no file tells the project's version" in " ".join(shown.split())
    assert "3.99" in sera(*arguments, code=1, **more).stdout


def test_an_environment_that_is_not_usable_is_not_taken_by_itself(
    sera: Sera, place: Path, more: dict[str, str]
) -> None:
    broken = write_tree(
        place / "broken",
        {
            "broken/__init__.py": "import nowhere_to_be_had\n\n\ndef double(number):\n    twice = 2 * number\n"
            "    if number < 0:\n        return -twice\n    return twice\n"
        },
    )
    told = sera("prepare", broken, code=1, **more)
    assert "not usable yet, as import broken fails" in " ".join(told.stdout.split())
    assert (
        "is not usable: import broken fails"
        in sera("generate", broken, "--out", place / "broken-run", "--functions", 1, **more).stderr
    )
