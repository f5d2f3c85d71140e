"""Changes that were not committed are part of a snapshot: every command says it, and every record holds it."""

import json
import shutil
from pathlib import Path

import pytest
from repository_support import repository, write
from user_shell import Sera

NOTICE = "changes that are not committed"


@pytest.fixture
def checkout(tiny_repo: Path, tmp_path: Path) -> Path:
    """Of the small package, with one commit and nothing else."""
    shutil.copytree(tiny_repo, tmp_path / "shop")
    return repository(tmp_path / "shop", {"README": "A shop.\n"})


def test_from_the_first_command_to_the_card(
    sera: Sera, checkout: Path, byte_tokenizer: str, tmp_path: Path
) -> None:
    asked = ["--functions", "2", "--concurrency", "1"]
    assert NOTICE not in sera("functions", checkout).stderr
    assert NOTICE not in sera("generate", checkout, "--out", tmp_path / "clean", *asked).stderr
    write(checkout, {"tiny/new.py": "def later(a):\n    b = a\n    c = b\n    return c\n"})
    for command in (("functions",), ("estimate",), ("generate", "--out", tmp_path / "run", *asked)):
        told = sera(command[0], checkout, *command[1:])
        assert told.stderr.count(NOTICE) == 1, command
        assert "Traceback" not in told.stderr
    runs = {name: json.loads((tmp_path / name / "run.json").read_text()) for name in ("clean", "run")}
    assert {name: run["source"]["dirty"] for name, run in runs.items()} == {"clean": False, "run": True}
    build = ["--min-recall", 0, "--tokenizer", byte_tokenizer, "--set", "max_tokens=200000"]
    sera("dataset", "build", tmp_path / "clean", tmp_path / "run", "--out", tmp_path / "data", *build)
    sources = json.loads((tmp_path / "data" / "manifest.json").read_text())["sources"]
    assert sorted(source["dirty"] for source in sources) == [False, True]
    commit = runs["run"]["source"]["origin_commit"]
    card = (tmp_path / "data" / "README.md").read_text()
    assert card.count(commit) == 2
    assert card.count(f"{commit} with uncommitted changes") == 1
