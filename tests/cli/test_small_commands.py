"""Commands without a stage of their own: what they print and refuse."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sera.cli import cli

FIRST = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n-a\n+b\r\n+c\n"


def recall(first: Path, second: Path) -> dict[str, float]:
    told = CliRunner().invoke(cli, ["recall", str(first), str(second), "--json"])
    assert told.exit_code == 0, told.output
    found: dict[str, float] = json.loads(told.output)
    return found


def test_line_ends_count_in_a_recall(tmp_path: Path) -> None:
    first, second = tmp_path / "1.diff", tmp_path / "2.diff"
    first.write_bytes(FIRST)
    second.write_bytes(FIRST.replace(b"\r", b""))
    assert recall(first, first)["recall"] == 1
    assert recall(first, second)["recall"] == 2 / 3


def test_a_patch_in_another_encoding_has_a_recall(tmp_path: Path) -> None:
    first = tmp_path / "1.diff"
    first.write_bytes(FIRST.replace(b"+c", b"+caf\xe9"))
    assert recall(first, first)["recall"] == 1
    shown = CliRunner().invoke(cli, ["recall", str(first), str(first)])
    assert shown.exit_code == 0, shown.output


def test_a_run_in_the_place_of_a_command_gets_the_command(tmp_path: Path) -> None:
    told = CliRunner().invoke(cli, ["dataset", str(tmp_path), "--out", "data"])
    assert told.exit_code == 2
    assert f"dataset build {tmp_path}" in told.output
    assert "No such command" in CliRunner().invoke(cli, ["dataset", "no-such-thing"]).output


def test_functions_takes_patterns(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERA_CACHE", str(cache))
    for name in ("core/a.py", "docs/conf.py", "noxfile.py", "data/big.py"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_text("def f(a):\n    b = a\n    c = b\n    return c\n")
    words = ["--exclude", "docs", "--exclude", "/noxfile.py", "--leave-out", "data", "--json"]
    told = CliRunner().invoke(cli, ["functions", str(tmp_path / "p"), *words])
    found = json.loads(told.output)
    assert [one["path"] for one in found["functions"]] == ["core/a.py"]
    assert found["left_out"] == {"excluded": 2}
    assert found["snapshot"]["files"] == 3
    wrong = CliRunner().invoke(cli, ["functions", str(tmp_path / "p"), "--include", "../up"])
    assert "no pattern of paths" in str(wrong.exception)
