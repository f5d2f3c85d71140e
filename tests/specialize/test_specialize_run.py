"""The stages in order, as processes: what is done stays, what a change concerns is done again."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from specialize_place import Place

from sera.specialize.stage import read_done


def sera(place: Place, *more: str, code: int = 0) -> str:
    """Run the command; what it said on both streams."""
    done = subprocess.run(place.argv(*more), capture_output=True, text=True, timeout=180, env=place.shell)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said, said
    return said


@pytest.fixture(scope="module")
def first(place: Place) -> str:
    """Everything but the training, with patches in the place of models."""
    return sera(place, "--skip", "fetch,train")


def test_the_plan_comes_first_and_every_stage_does_its_part(place: Place, first: str) -> None:
    assert (
        first.index("The plan for") < first.index("sera: prepare: sera prepare") < first.index("sera: tasks:")
    )
    made = {path.name for path in place.out.iterdir()} - {".lock"}
    assert made == {"environment.json", "tasks", "run", "dataset", "before", "after", "stages", "report.html"}
    results = json.loads((place.out / "after" / "results.json").read_bytes())
    assert results["comparison"]["won"] == 1
    assert re.search(r"100\.0 % \([^)]*\) after the training", (place.out / "report.html").read_text("utf-8"))


def test_nothing_of_the_tasks_is_trained_on(place: Place, first: str) -> None:
    kept = {
        line
        for line in (place.out / "tasks" / "held_out.txt").read_text("utf-8").splitlines()
        if line[:1] != "#"
    }
    tasks = [json.loads(line) for line in (place.out / "run" / "tasks.jsonl").open("rb")]
    sampled = {f"{one['function']['path']}:{one['function']['name']}" for one in tasks}
    assert kept
    assert sampled
    assert not kept & sampled
    evaluated = [json.loads(line) for line in (place.out / "tasks" / "tasks.jsonl").open("rb")]
    assert {f"{one['path']}:{one['function']}" for one in evaluated} <= kept


def test_the_same_command_does_nothing_again(place: Place, first: str) -> None:
    before = {file: file.stat().st_mtime_ns for file in stages(place)}
    assert "done before" in sera(place, "--skip", "fetch,train")
    assert {file: file.stat().st_mtime_ns for file in stages(place)} == before


def test_a_changed_setting_does_again_what_it_concerns_and_says_so(place: Place, first: str) -> None:
    said = sera(place, "--set", "generate.agent.wall_clock=1800", "--until", "dataset", "--skip", "fetch")
    assert "tasks: done before" in said
    assert "generate: begun anew (now agent.wall_clock=1800); what was there is kept in" in said
    assert (place.out / "earlier" / "run-1" / "run.json").is_file()
    assert "dataset: goes on, changed (the run)" in said
    assert "before:" not in said.partition("sera: prepare")[2]


def test_an_interrupt_reaches_the_stage_and_says_how_to_go_on(place: Place, first: str) -> None:
    more = ("--set", "generate.functions=400", "--set", "generate.seed=6", "--only", "generate")
    process = subprocess.Popen(
        place.argv(*more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=place.shell
    )
    pairs, deadline = place.out / "run" / "pairs.jsonl", time.monotonic() + 60
    while time.monotonic() < deadline and not (under_way(place) and pairs.exists() and pairs.stat().st_size):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.count("finishing the steps under way") == 1
    assert "interrupted in the stage generate; everything so far is saved, the same command goes on" in said
    done = read_done(place.out, "generate")
    assert done
    assert done.code == 130


def test_a_failing_stage_is_named_with_how_to_go_on(place: Place, first: str) -> None:
    said = sera(place, "--set", "evaluate.predictions=gone.jsonl", "--only", "before", code=1)
    assert "the stage before has failed, with exit code 2" in said
    assert "--skip before" in said


def test_a_folder_of_something_else_is_left_alone(place: Place, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    assert "something other" in sera(place, "--out", str(tmp_path), code=1)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.txt", ".lock"}


def test_a_plan_forecasts_and_makes_nothing(place: Place, tmp_path: Path) -> None:
    teacher = ("--teacher", "http://localhost:9/v1", "--model", "glm-4.5-air")
    said = sera(place, "--plan", "--out", str(tmp_path / "new"), *teacher)
    assert "generate: sera generate" in said
    assert "cost if nothing were cached" in said
    assert not (tmp_path / "new").exists()


def stages(place: Place) -> list[Path]:
    return sorted((place.out / "stages").iterdir())


def under_way(place: Place) -> bool:
    done = read_done(place.out, "generate")
    return done is not None and done.code is None
