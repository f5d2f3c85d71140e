"""Settings of all stages against each other, before the first of them: defaults, lengths, refusals."""

from collections.abc import Callable
from pathlib import Path

import pytest
from specialize_place import Place

from sera.errors import SeraError, UsageError
from sera.specialize import readiness
from sera.specialize.config import load_settings
from sera.specialize.plan import Request, make_plan
from sera.specialize.readiness import refuse_unready

Asked = Callable[..., Request]


def words(request: Request, stage: str) -> set[str]:
    return set(make_plan(request)[stage].argv)


def test_without_a_student_it_is_a_trial_below_what_is_told(tmp_path: Path) -> None:
    config, is_trial = load_settings(None, ("tasks.mutants=3", "evaluate.teacher.max_tokens=99"), {})
    assert is_trial
    assert (config.student, config.recipe) == ("smollm2-135m-instruct", "demo-loop")
    assert (config.tasks["mutants"], config.tasks["split"]) == (3, {"share": 0.2})
    assert config.evaluate["teacher"] == {"max_tokens": 99}
    assert config.evaluate["seeds"] == 1
    named, is_trial = load_settings(None, (), {"student": "qwen2.5-coder-1.5b-instruct"})
    assert not is_trial
    assert (named.recipe, named.tasks) == ("", {})


def test_lengths_follow_from_the_student(quick: Asked) -> None:
    asked = quick("base=", "trained=")
    assert {"max_tokens=8192", "min_ratio=0.0"} <= words(asked, "dataset")
    assert "sequence=8192" in words(asked, "train")
    for stage in ("before", "after"):
        assert "context=8192" in words(asked, stage)
    larger = quick("base=", "trained=", "student=qwen2.5-coder-1.5b-instruct")
    said = " ".join(words(larger, "dataset") | words(larger, "train") | words(larger, "before"))
    assert "max_tokens" not in said
    assert "sequence" not in said
    assert "context" not in said


def test_the_rows_of_the_dataset_are_as_long_as_the_training_takes_them(quick: Asked) -> None:
    recipe = "recipe=demo-loop"
    assert "max_tokens=3072" in words(quick(recipe), "dataset")
    assert not any(word.startswith("sequence") for word in words(quick(recipe), "train"))
    assert "max_tokens=4096" in words(quick(recipe, "train.sequence=4096"), "dataset")
    assert "sequence=4096" in words(quick(recipe, "dataset.max_tokens=4096"), "train")
    assert "min_ratio=0.5" in words(quick(recipe, "dataset.min_ratio=0.5"), "dataset")


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (("train.sequence=9000",), "train.sequence is 9,000, and smollm2-135m-instruct reads 8,192 tokens"),
        (("dataset.max_tokens=9000",), "dataset.max_tokens is 9,000"),
        (("dataset.max_tokens=4096", "train.sequence=2048"), "set one of them alone, the other follows"),
    ],
)
def test_lengths_that_a_later_stage_would_refuse(quick: Asked, pairs: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_plan(quick(*pairs))


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (
            ("recipe=lora", "train.warmup_steps=48"),
            "generate.functions=2 gives 4 rows at most, .* set train.warmup_steps=",
        ),
        (("recipe=qlora", "generate.functions=900"), "lora.quantized needs a GPU"),
        (("student=Some/Model", "base=", "recipe=demo-loop"), "it is only on the hub: .*--skip before"),
        (("student=./nothing", "recipe=demo-loop"), "there are no weights ./nothing"),
        (("recipe=demo-loop", "train.micro_batch=3"), "a batch of 1 cannot be had"),
        (("recipe=demo-loop", "base=", "trained=./nothing"), "there are no weights ./nothing"),
        (("recipe=demo-loop", "dataset.student=smollm2"), "the tokenizer is not of the family smollm2"),
    ],
)
def test_what_would_end_a_later_stage_is_said_before_the_first(
    quick: Asked, pairs: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SeraError, match=said):
        refuse_unready(quick(*pairs))


def test_libraries_that_are_missing_are_said_with_a_way_without(
    quick: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_EXTRAS", readiness._EXTRAS | {"train": ("no_such_library",)})
    recipe = "recipe=demo-loop"
    with pytest.raises(UsageError, match=r'no_such_library.*pip install "sera\[train\]".*--until dataset'):
        refuse_unready(quick(recipe))
    refuse_unready(quick(recipe, until="dataset"))
    monkeypatch.setattr(readiness, "_EXTRAS", readiness._EXTRAS | {"local": ("no_such_library",)})
    with pytest.raises(UsageError, match=r'before.*"sera\[local\]".*--skip before'):
        refuse_unready(quick("base=", recipe, skip=("train",)))


def test_what_is_left_out_is_not_looked_at(quick: Asked, place: Place) -> None:
    refuse_unready(quick("train.warmup_steps=48", skip=("train",)))
