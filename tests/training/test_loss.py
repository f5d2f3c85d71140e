"""The loss of a student on conversations that it was not trained on."""

import json
from pathlib import Path
from statistics import fmean

import msgspec
import pytest
from click.testing import CliRunner
from training_support import Told, make_data, tiny_config

from sera.cli import cli
from sera.errors import DatasetError, TrainError
from sera.training import Request, train_student
from sera.training.folder import CHECKPOINT
from sera.training.loss import measure_loss, read_loss
from sera.training.rows import held_out_tasks

pytest.importorskip("trl")


def test_it_is_the_figure_of_the_trainer_itself(request_: Request) -> None:
    request = msgspec.structs.replace(request_, config=tiny_config(held_out=0.25))
    finished = train_student(request, Told())
    rows = [json.loads(line) for line in (request.dataset / "train.jsonl").open("rb")]
    tasks = held_out_tasks((row["task"] for row in rows), request.config)
    kept = {row["id"] for row in rows if row["task"] in tasks}
    for student, told in (
        (request.student, finished.held_out_before),
        (str(request.out / CHECKPOINT), finished.held_out_after),
    ):
        found = measure_loss(request.dataset, student).conversations
        assert len(found) == 12
        assert fmean(one.loss for one in found if one.id in kept) == pytest.approx(told, rel=1e-2)


def test_the_command_keeps_every_conversation(data: Path, student_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "loss.json"
    done = CliRunner().invoke(
        cli, ["loss", str(data), "--student", str(student_folder), "--out", str(file)], catch_exceptions=False
    )
    kept = read_loss(file)
    assert f"on 12 conversations: {kept.loss:.4f}" in done.stdout
    assert "12/12 conversations" in done.stderr
    assert kept.loss == pytest.approx(fmean(one.loss for one in kept.conversations))
    counted = sum(one.trained for one in kept.conversations)
    assert kept.by_token == pytest.approx(sum(one.loss * one.trained for one in kept.conversations) / counted)
    assert kept.by_token != pytest.approx(kept.loss, rel=1e-6)
    assert f"as trainers count: {kept.by_token:.4f}" in done.stdout
    assert all(0 < one.trained < one.tokens for one in kept.conversations)


def test_conversations_that_are_too_long_are_refused_before_weights_are_read(
    bare_student: Path, tmp_path: Path
) -> None:
    data = make_data(tmp_path / "data", bare_student, rows=1)
    config = json.loads((bare_student / "config.json").read_bytes())
    short = tmp_path / "short"
    short.mkdir()
    for file in bare_student.glob("tokenizer*.json"):
        (short / file.name).write_bytes(file.read_bytes())
    (short / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 100}))
    with pytest.raises(TrainError, match="and short reads 100: build the dataset with --max-row-tokens 100"):
        measure_loss(data, str(short))


def test_what_is_no_dataset_is_refused(bare_student: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no dataset"):
        measure_loss(tmp_path, str(bare_student))
    with pytest.raises(TrainError, match="holds no loss"):
        read_loss(tmp_path / "loss.json")
