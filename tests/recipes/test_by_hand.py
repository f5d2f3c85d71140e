"""The flat script does what the engine does, for the same functions."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from sera.generation.job import GenerateConfig, plan_job
from sera.generation.recall import compare

SCRIPT = Path(__file__).parents[2] / "recipes" / "by_hand.py"


def test_pairs_of_the_plan_with_patches_that_apply(tiny_repo: Path, tmp_path: Path) -> None:
    out, tree = tmp_path / "pairs.jsonl", tmp_path / "tree"
    command = [sys.executable, SCRIPT, tiny_repo, "--out", out, "--functions", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    pairs = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    planned = plan_job(str(tiny_repo), None, GenerateConfig(functions=3)).tasks
    assert [pair["function"] for pair in pairs] == [task.function.name for task in planned]
    finished = [pair for pair in pairs if "r" in pair]
    assert finished
    shutil.copytree(tiny_repo, tree)
    for pair in finished:
        assert pair["issue"]
        assert pair["r"] == compare(pair["p1"], pair["p2"]).recall
        assert f"{pair['function']}: r = {pair['r']}" in done.stdout
        for patch in filter(None, (pair["p1"], pair["p2"])):
            check = ["git", "apply", "--check"]
            assert subprocess.run(check, cwd=tree, input=patch, text=True, timeout=60).returncode == 0
