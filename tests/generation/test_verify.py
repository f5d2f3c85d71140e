"""Recall of two files of predictions."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sera.cli.verify import command
from sera.datasets.exchange.predictions import read_predictions
from sera.errors import UsageError
from sera.generation.recall import compare
from sera.generation.verify import verify

ONE, TWO, OTHER = "+x = 1\n+y = 2\n", "+x = 1\n", "+z = 3\n"


def write(file: Path, text: str) -> Path:
    file.write_text(text, "utf-8")
    return file


def test_every_shape_of_a_predictions_file(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"instance_id": "a", "model_patch": ONE, "model_name_or_path": "m"},
        {"instance_id": "b", "model_patch": None},
    ]
    wanted = {"a": ONE, "b": ""}
    by_name = {row["instance_id"]: row for row in rows}
    assert read_predictions(write(tmp_path / "preds.json", json.dumps(by_name))) == wanted
    assert read_predictions(write(tmp_path / "list.json", json.dumps(rows))) == wanted
    assert read_predictions(write(tmp_path / "plain.json", json.dumps(wanted))) == wanted
    lines = "".join(json.dumps(row) + "\n\n" for row in rows)
    assert read_predictions(write(tmp_path / "preds.jsonl", lines)) == wanted


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.jsonl",
            '{"instance_id": "a"}\n{"model_patch": ""}\n',
            r"a\.jsonl, line 2 is no prediction: .*instance_id",
        ),
        ("a.jsonl", '{"instance_id": "a"\n', r"line 1 is no prediction"),
        ("a.json", "3", r"a\.json holds no predictions"),
        (
            "a.json",
            '[{"instance_id": "a", "model_patch": "x"}, {"instance_id": "a", "model_patch": "y"}]',
            "two patches for a",
        ),
    ],
)
def test_what_is_no_predictions_file(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_predictions(write(tmp_path / name, text))


def test_instances_of_one_file_only_are_named_and_belong_to_no_mean() -> None:
    found = verify({"a": ONE, "b": ONE, "gone": ONE, "e": ""}, {"b": OTHER, "a": TWO, "e": "", "new": ONE})
    assert [(row.instance, row.agreement.recall, row.verification) for row in found.instances] == [
        ("a", 0.5, "soft"),
        ("b", 0.0, "unverified"),
        ("e", 0.0, "unverified"),
    ]
    assert found.instances[0].agreement == compare(ONE, TWO)
    assert (found.only_first, found.only_second) == (("gone",), ("new",))
    assert found.classes == {"hard": 0, "soft": 1, "unverified": 2}
    assert found.mean["recall"] == pytest.approx(0.5 / 3)
    assert found.mean["precision"] == pytest.approx(1 / 3)
    assert verify({"a": ONE}, {}).mean == {}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_the_command(tmp_path: Path) -> None:
    first = str(write(tmp_path / "a.json", json.dumps({"one": ONE, "two": ONE})))
    second = str(write(tmp_path / "b.json", json.dumps({"one": ONE, "two": TWO})))
    shown = run(first, second)
    assert shown.exit_code == 0
    assert "2 compared: 1 hard, 1 soft, 0 unverified; means: recall 0.750" in shown.output
    told = run(first, second, "--json", "--min", "0.6")
    assert told.exit_code == 1
    assert json.loads(told.output)["instances"][1]["agreement"]["recall"] == 0.5
    assert run(first, second, "--min", "0.5").exit_code == 0
    (tmp_path / "b.json").write_text("{}")
    missing = run(first, second, "--min", "0")
    assert missing.exit_code == 1
    assert "2 in A alone, in no mean: one, two" in missing.output
    (tmp_path / "b.json").write_text("no")
    assert isinstance(run(first, second).exception, UsageError)
