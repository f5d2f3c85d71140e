"""One word for one thing in all commands, and defaults that help tells as they are."""

import os
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from sera.cli import cli
from sera.cli.dataset.students import reading
from sera.datasets import DatasetConfig
from sera.evaluation.config import EvaluateConfig
from sera.evaluation.tasks.config import TasksConfig
from sera.generation.job import GenerateConfig
from sera.settings import Config

TOLD = {
    "generate": GenerateConfig(),
    "dataset build": DatasetConfig(),
    "tasks build": TasksConfig(),
    "evaluate": EvaluateConfig(),
}


def sera(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.mark.parametrize("name", TOLD)
def test_defaults_in_help_are_those_of_the_settings(name: str) -> None:
    command: click.Command = cli
    for word in name.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found
        command = found
    config: Config = TOLD[name]
    told = {
        option.name: match[1]
        for option in command.params
        if isinstance(option, click.Option)
        and (match := re.search(r"\[default: ([\d.]+)\]", option.help or ""))
    }
    assert told
    assert {key: float(value) for key, value in told.items()} == {key: getattr(config, key) for key in told}


@pytest.mark.parametrize("command", ["generate", "specialize"])
def test_a_model_without_a_teacher_says_what_is_missing(command: str, tmp_path: Path) -> None:
    done = sera(command, tmp_path, "--out", tmp_path / "out", "--model", "glm-4.5-air")
    assert done.exit_code == 2
    assert "--model glm-4.5-air needs --teacher: `local`" in " ".join(done.output.split()).replace("│ ", "")


def test_functions_takes_the_settings_of_a_run(tiny_repo: Path) -> None:
    every = sera("functions", tiny_repo, "--json")
    fewer = sera("functions", tiny_repo, "--json", "--set", "index.min_statements=5")
    assert fewer.exit_code == 0, fewer.output
    assert len(fewer.output) < len(every.output)
    assert sera("functions", tiny_repo, "--set", "index.nothing=5").exception


def test_what_shows_a_plan_is_asked_for_by_one_word() -> None:
    for command in ("train", "specialize", "gc"):
        found = cli.get_command(click.Context(cli), command)
        assert found
        assert ["--plan", "--dry-run"] in [option.opts for option in found.params]


def test_a_row_and_a_run_have_limits_of_their_own_names() -> None:
    assert "--max-row-tokens" in sera("dataset", "build", "--help").output
    assert "--max-tokens" not in sera("dataset", "build", "--help").output


def test_a_dataset_takes_the_student_that_a_training_takes(tmp_path: Path) -> None:
    assert reading("qwen3", "t.json") == {"student": "qwen3", "tokenizer": "t.json"}
    assert reading(str(tmp_path), "") == {"student": str(tmp_path), "tokenizer": ""}
    weights = os.environ.get("SERA_TEST_WEIGHTS", "")
    if not Path(weights).is_file():
        pytest.skip("no weights here")
    found = reading(weights, "")
    assert found["student"] == "smollm2"
    assert Path(found["tokenizer"]).is_file()


def test_the_next_command_can_be_pasted(tiny_repo: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "a run"
    done = CliRunner(env={"SERA_CACHE": str(cache)}).invoke(
        cli, ["generate", str(tiny_repo), "--out", str(out), "--functions", "2"]
    )
    assert done.exit_code == 0, done.output
    assert (
        f"Next: sera status {shlex.quote(str(out))}, sera dataset build {shlex.quote(str(out))} --out"
        in done.output
    )
