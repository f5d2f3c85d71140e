"""The main job on real packages: no untyped crash, and every sampled function accounted for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parent / "packages.txt"
NAMES = [line.partition("==")[0] for line in PACKAGES.read_text().splitlines() if "==" in line]
FUNCTIONS = 60
SERA = Path(sys.executable).parent / "sera"
TOKENIZER = Path(__file__).parents[2] / ".cache" / "tokenizer" / "tokenizer.json"

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Source archives by project name."""
    folder = tmp_path_factory.mktemp("archives")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run(
        [*command, "--require-hashes", "-r", str(PACKAGES), "-d", str(folder)], check=True, timeout=600
    )
    return {file.name.rpartition("-")[0].replace("_", "-"): file for file in folder.iterdir()}


def sera(*arguments: object, timeout: float = 900) -> str:
    environment = {"SERA_TOKENIZER": str(TOKENIZER)} | os.environ
    done = subprocess.run(
        [SERA, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_main_job(archives: dict[str, Path], tmp_path: Path, name: str) -> None:
    run, data = tmp_path / "run", tmp_path / "data"
    sera("generate", archives[name], "--out", run, "--functions", FUNCTIONS, "--concurrency", 8)
    status = json.loads(sera("status", run, "--json"))
    print(name, status["states"], "mean r", status["mean_recall"])
    assert sum(status["states"].values()) == status["tasks"] == FUNCTIONS
    assert status["owed"] == 0
    assert status["states"]["complete"] >= 0.8 * FUNCTIONS
    sera("dataset", "build", run, "--out", data, "--min-recall", 0)
    assert (data / "train.jsonl").stat().st_size > 0
