"""The tasks of a real package, worked on by mini-swe-agent's own SWE-bench runner, and judged by us.

What it shows: rows that its runner reads as a dataset of SWE-bench, starting trees that can be made from the
set alone (archive and `start_patch`), and predictions that `sera evaluate` takes. The model is an endpoint
that knows the gold patches. Commands run where the runner runs: they are the endpoint's own three, and the
set's.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

SERA = Path(sys.executable).parent / "sera"
PACKAGE = "toolz==1.2.0"
RUNNER = ("mini-swe-agent==2.4.6", "litellm==1.106.2", "datasets==5.2.0", "mcp==2.3.0")
"""As they were when this was written; `mcp` is what this litellm imports without naming it."""
SETTINGS = """\
environment:
  environment_class: local
  cwd: {testbed}
run:
  env_startup_command: |
    find . -mindepth 1 -delete && tar xzf {tasks}/trees/{{{{ tree }}}}.tar.gz --strip-components=1 &&
    git init -q && (cat > .git/start.patch <<'END_OF_START'
    {{{{ start_patch }}}}END_OF_START
    ) && git apply .git/start.patch && git add -A && git -c user.name=a -c user.email=a@b commit -qm start
model:
  model_name: openai/gold
"""
pytestmark = pytest.mark.soak


def run(*words: object, **more: str) -> None:
    done = subprocess.run([str(word) for word in words], env={**os.environ, **more}, timeout=900)
    assert done.returncode == 0, words


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of tasks of the package in `tasks`, and the runner in `runner`."""
    place = tmp_path_factory.mktemp("mini")
    cache = {"SERA_CACHE": str(place / "cache")}
    run(
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        ":all:",
        PACKAGE,
        "-d",
        place,
    )
    source = next(place.glob("*.tar.gz"))
    run(SERA, "prepare", source, **cache)
    run(SERA, "tasks", "build", source, "--out", place / "tasks", "--mutants", 6, "--history", 0, **cache)
    venv.create(place / "runner", with_pip=True)
    run(place / "runner" / "bin" / "pip", "install", "-q", *RUNNER)
    return place


@pytest.fixture
def served(place: Path) -> Iterator[str]:
    """The endpoint."""
    command = [sys.executable, str(Path(__file__).with_name("gold_endpoint.py")), str(place / "tasks")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()


def test_its_runner_solves_our_tasks(place: Path, served: str) -> None:
    tasks, testbed = place / "tasks", place / "testbed"
    testbed.mkdir()
    (place / "rows").mkdir()
    (place / "rows" / "test.jsonl").write_bytes((tasks / "tasks.jsonl").read_bytes())
    (place / "local.yaml").write_text(SETTINGS.format(testbed=testbed, tasks=tasks))
    own = {
        "HOME": str(place), "HF_HOME": str(place / "hub"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
        "MSWEA_CONFIGURED": "true", "MSWEA_SILENT_STARTUP": "1", "MSWEA_GLOBAL_CONFIG_DIR": str(place),
        "MSWEA_COST_TRACKING": "ignore_errors", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_KEY": "none", "OPENAI_API_BASE": served,
    }  # fmt: skip
    run(
        place / "runner" / "bin" / "mini-extra", "swebench", "--subset", place / "rows", "--split", "test",
        "-c", "swebench.yaml", "-c", place / "local.yaml", "-o", place / "out", "-w", 1, **own,
    )  # fmt: skip
    run(
        SERA, "evaluate", tasks, "--predictions", place / "out" / "preds.json", "--out", place / "judged",
        "--seeds", 1, SERA_CACHE=str(place / "cache"),
    )  # fmt: skip
    results = json.loads((place / "judged" / "results.json").read_text())
    assert results["states"] == {"resolved": results["tasks"]}
    assert results["tasks"] >= 4
