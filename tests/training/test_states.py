"""States to go on from, and trained weights: what is not as it was written, or of another training, is none."""

import shutil
from pathlib import Path

import pytest

from sera.errors import TrainError
from sera.training.trl.states import WHOLE, last_state, mark_whole, trained_weights


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A training with two states."""
    (tmp_path / "train.json").write_text("{}")
    for step in (9, 10):
        state(tmp_path, f"checkpoint-{step}")
    return tmp_path


def state(out: Path, name: str) -> Path:
    made = out / "state" / name
    (made / "global").mkdir(parents=True)
    (made / "model.safetensors").write_text("weights")
    (made / "global" / "trainer_state.json").write_text("{}")
    mark_whole(made)
    return made


DAMAGE = {
    "a byte": lambda one: (one / "model.safetensors").write_text("weighs."),
    "shorter": lambda one: (one / "model.safetensors").write_text("weight"),
    "gone": lambda one: (one / "global" / "trainer_state.json").unlink(),
    "a folder": lambda one: ((one / "model.safetensors").unlink(), (one / "model.safetensors").mkdir()),
    "not said": lambda one: (one / WHOLE).unlink(),
    "empty": lambda one: (one / WHOLE).write_text(""),
    "torn": lambda one: (one / WHOLE).write_bytes((one / WHOLE).read_bytes()[:-9]),
    "not UTF-8": lambda one: (one / WHOLE).write_bytes(b'{"\xff":1}'),
    "deep": lambda one: (one / WHOLE).write_text('{"a":' * 100_000),
    "a list": lambda one: (one / WHOLE).write_text("[1]"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_the_newest_that_is_whole(out: Path, case: str) -> None:
    newest = out / "state" / "checkpoint-10"
    assert last_state(out) == newest
    DAMAGE[case](newest)
    assert last_state(out) == out / "state" / "checkpoint-9"
    assert not newest.exists()


def test_one_of_another_training_is_none(out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "train.json").write_text('{"seed": 2}')
    shutil.copytree(state(other, "checkpoint-11"), out / "state" / "checkpoint-11")
    shutil.copytree(state(other, "trained"), out / "state" / "trained")
    assert last_state(out) == out / "state" / "checkpoint-10"
    with pytest.raises(TrainError, match=r"of another training.*train anew"):
        trained_weights(out)


def test_other_names_are_passed_over(out: Path) -> None:
    for name in ("checkpoint-best", "checkpoint-12.bak", "checkpoint-", "checkpoint-²"):
        (out / "state" / name).mkdir()
    (out / "state" / "checkpoint-13").write_text("")
    (out / "state" / "checkpoint-14").symlink_to("/nowhere")
    assert last_state(out) == out / "state" / "checkpoint-10"
    assert (out / "state" / "checkpoint-best").is_dir()
    assert last_state(out / "none") is None


def test_what_was_written_before_still_counts(out: Path) -> None:
    """Sizes alone, and of trained weights nothing at all."""
    newest = out / "state" / "checkpoint-10"
    (newest / WHOLE).write_text('{"model.safetensors": 7, "global/trainer_state.json": 2}')
    assert last_state(out) == newest
    done = state(out, "trained")
    assert trained_weights(out) == done
    (done / WHOLE).write_text("")
    assert trained_weights(out) == done
    mark_whole(done)
    DAMAGE["a byte"](done)
    with pytest.raises(TrainError, match="are damaged"):
        trained_weights(out)
