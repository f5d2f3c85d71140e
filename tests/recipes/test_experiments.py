"""The experiments in one command, over a small shop and a student of two layers: what holds, what fails, what stays."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sera.evaluation.folder import open_evaluation
from sera.evaluation.record import Outcome, State
from sera.evaluation.results import Results
from sera.runs import Manifest
from sera.runs.ledger import Balance
from sera.settings import load_config

for part in ("specialize", "training"):
    sys.path.insert(0, str(Path(__file__).parents[1] / part))

from specialize_place import Place  # noqa: E402
from training_support import SHAPE, write_tokenizer  # noqa: E402

FOLDER = Path(__file__).parents[2] / "recipes" / "experiments"
PLAN = """\
targets = ["shop"]
evaluated = ["many"]
students.tiny.model = "student"
repositories.shop = "project"

tasks = { mutants = 1, history = 0 }
generate = { functions = 4, concurrency = 1, index.min_statements = 1 }
measured = { functions = 1, seed = 1 }
dataset = { max_tokens = 8000, min_ratio = 0.0, min_recall = 0.0, template = "chatml", workers = 1 }
train = { sequence = 8000, batch = 1, epochs = 2.0, warmup_steps = 1, learning_rate = 5e-3, device.gpu = "cpu" }

arms.untrained.trained = false
arms.one.dataset.recipe = "1 T2"
arms.many.dataset.recipe = "500 T2"

[questions.size]
asks = "Does more help?"
arms = ["one", "many"]
"""

_SHAPE = {**SHAPE, "max_position_embeddings": 8192}
STOCK = """\
\"\"\"A stock of {name}.\"\"\"


def count_{name}(stock):
    \"\"\"Pieces of {name} in a stock.\"\"\"
    found = 0
    for piece in stock:
        if piece == "{name}":
            found += 1
    return found
"""


class Bench:
    """A folder with plan, project and student."""

    def __init__(self, folder: Path) -> None:
        place = Place(folder)
        self.folder, self.out, self.shell = folder, folder / "results", place.shell
        for name in ("pears", "plums", "nuts", "figs", "limes", "dates"):
            (folder / "project" / "shop" / f"{name}.py").write_text(STOCK.format(name=name), "utf-8")
        (folder / "plan.toml").write_text(PLAN, "utf-8")
        (folder / "student").mkdir()
        (folder / "student" / "config.json").write_text(json.dumps({"model_type": "llama", **_SHAPE}))
        write_tokenizer(folder / "student")

    def __call__(self, *more: str, code: int = 0) -> str:
        """Run the command as a person does; what it said on both streams."""
        done = subprocess.run(
            [sys.executable, str(FOLDER / "run.py"), "plan.toml", "--out", str(self.out), *more],
            capture_output=True, text=True, timeout=300, cwd=self.folder, env=self.shell | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "Traceback" not in said, said
        return said

    def rows(self) -> dict[str, dict[str, Any]]:
        lines = (self.out / "results.jsonl").open("rb")
        return {row["arm"]: row for row in map(msgspec.json.decode, lines)}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("experiments"))


def test_a_dry_run_shows_every_command_and_makes_nothing(bench: Bench) -> None:
    said = bench("--dry-run")
    for words in (
        "sera prepare project",
        "sera tasks build",
        "sera generate",
        "sera train",
        "sera loss",
        "sera evaluate",
    ):
        assert words in said
    assert not bench.out.exists()


def test_wrong_plans_are_refused_before_anything_is_done(bench: Bench) -> None:
    for pair, why in (
        ("train.epoch=2", "the table train"),
        ("targets=['elsewhere']", "'elsewhere' is not among the repositories"),
        ("evaluated=['three']", "there is no arm 'three'"),
        ("arms.one.trained=false", "the first arm, and no other, is the untrained student"),
    ):
        assert why in bench("--set", pair, code=2)
    assert "there is no arm 'three'" in bench("--only", "three", code=2)
    assert not bench.out.exists()


@pytest.fixture(scope="module")
def first(bench: Bench) -> str:
    """All of it, with random weights."""
    pytest.importorskip("trl")
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(LlamaConfig(**_SHAPE)).save_pretrained(bench.folder / "student")
    return bench(code=1)


@pytest.mark.soak
def test_an_arm_that_fails_is_reported_and_the_others_go_on(bench: Bench, first: str) -> None:
    rows = bench.rows()
    assert rows["untrained"]["state"] == rows["one"]["state"] == "done"
    assert rows["many"]["state"].startswith("failed: ")
    assert "500" in rows["many"]["state"]
    assert rows["one"]["rows"] == 1
    assert rows["one"]["loss"]["keep"] < rows["untrained"]["loss"]["keep"]
    page = (bench.out / "results.md").read_text("utf-8")
    assert "### Does more help?" in page
    assert rows["many"]["state"] in page


@pytest.mark.soak
def test_neither_tasks_nor_measured_conversations_are_trained_on(bench: Bench, first: str) -> None:
    shop = bench.out / "repositories" / "shop"
    tasks = [json.loads(line) for line in (shop / "tasks" / "tasks.jsonl").open("rb")]
    measured = [json.loads(line)["function"] for line in (shop / "measured" / "tasks.jsonl").open("rb")]
    kept = set((bench.out / "held_out.txt").read_text("utf-8").splitlines())
    assert {f"{one['path']}:{one['function']}" for one in tasks} <= kept
    assert {f"{one['path']}:{one['name']}" for one in measured} <= kept
    manifest = json.loads((bench.out / "tiny" / "shop" / "one" / "dataset" / "manifest.json").read_bytes())
    trained = [json.loads(line) for line in (bench.out / "tiny/shop/one/dataset/train.jsonl").open("rb")]
    assert manifest["lists"]
    assert not kept & {f"{one['path']}:{one['function']}" for one in trained}


@pytest.mark.soak
def test_the_same_command_does_only_what_has_failed(bench: Bench, first: str) -> None:
    again = bench("--set", "arms.many.dataset.recipe='1 T2'", "--only", "one", code=0)
    assert "train: done before" in again
    assert "sera train" not in again


def test_resolve_rates_are_compared_with_the_first_arm_of_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    figures, work = (importlib.import_module(name) for name in ("figures", "work"))
    (tmp_path / "plan.toml").write_text(PLAN, "utf-8")
    planned = work.Work(load_config(work.Plan, tmp_path / "plan.toml"), tmp_path / "out")
    for arm, resolved in (("untrained", 0), ("one", 2), ("many", 8)):
        place = planned.place(work.Cell("tiny", "shop", arm)) / "evaluation"
        with open_evaluation(place, Manifest(version="", config={}, identity={}, source={}), None) as opened:
            for number in range(8):
                state = State.RESOLVED if number < resolved else State.EMPTY
                opened.outcomes.append(Outcome(task=f"task-{number}", seed=0, state=state))
        found = Results(
            model=arm, tasks=8, seeds=1, owed=0, rate=None, states={}, left_out={}, flaky=(), behaviour=None,
            spent=Balance(),
        )  # fmt: skip
        (place / "results.json").write_bytes(msgspec.json.encode(found))
    figures.write_results(planned)
    rows = {row["arm"]: row for row in map(msgspec.json.decode, (planned.out / "results.jsonl").open("rb"))}
    assert rows["many"]["against"]["one"]["difference"] == 75
    assert rows["one"]["against"] == rows["untrained"]["against"] == {}
    page = (planned.out / "results.md").read_text("utf-8")
    assert "- `many` against `one`: `many` is 75.0 points better, beyond noise" in page


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_plans_that_ship_are_whole(name: str, tmp_path: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); from plan import Plan; from work import Path, Work; from sera.settings import load_config; Work(load_config(Plan, Path(sys.argv[2])), Path('out'))"
    subprocess.run(
        [sys.executable, "-c", code, str(FOLDER), str(FOLDER / f"{name}.toml")], check=True, timeout=60
    )
