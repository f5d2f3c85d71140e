"""The main job on repositories of other languages than Python, by the command line."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from polyglot import PROJECTS
from user_shell import Sera

from sera.runs import read_run

TREES = "tree"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the repositories and runs of this module lie: `tree/LANGUAGE` and `run/LANGUAGE`."""
    place = tmp_path_factory.mktemp("polyglot")
    for language, (files, _) in PROJECTS.items():
        for path, text in files.items():
            file = place / TREES / language / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    return place


def generated(sera: Sera, work: Path, language: str) -> Path:
    """A finished run on one of them, made for the first test that asks."""
    run = work / "run" / language
    run.parent.mkdir(exist_ok=True)
    if not run.exists():
        sera("generate", work / TREES / language, "--out", run, "--functions", 2, "--concurrency", 2)
    return run


def test_functions_of_all_languages(sera: Sera, work: Path) -> None:
    told: dict[str, Any] = json.loads(sera("functions", work / TREES, "--json").stdout)
    for language, (_, names) in PROJECTS.items():
        assert {f["name"] for f in told["functions"] if f["language"] == language} == names
        assert told["languages"][language] == len(names)


@pytest.mark.parametrize("language", PROJECTS)
def test_a_run(sera: Sera, work: Path, language: str) -> None:
    """Every task ends, and every patch fits the user's own files."""
    tree = work / TREES / language
    opened = read_run(generated(sera, work, language))
    assert opened.profile.name == "sera-1-any"
    assert {pair.state.value for pair in opened.pairs} == {"complete"}
    assert all("ython" not in message.content for r in opened.rollouts for message in r.messages)
    patches = [rollout.patch for rollout in opened.rollouts]
    assert len(patches) == 4
    for patch in patches:
        check = ["git", "apply", "--check", "-"]
        subprocess.run(check, cwd=tree, input=patch, text=True, check=True, timeout=20)


def test_one_dataset_of_them_all(sera: Sera, work: Path, tmp_path: Path) -> None:
    runs = [generated(sera, work, language) for language in PROJECTS]
    sera("dataset", "build", *runs, "--out", tmp_path / "data")
    rows = (tmp_path / "data" / "train.jsonl").read_text("utf-8").splitlines()
    assert len(rows) >= len(runs)
