"""The plan: command lines that follow from the settings, refusals, and when a stage is done again."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from sera.errors import ConfigError, UsageError
from sera.evaluation.tasks.record import Manifest, Split, write_rows
from sera.settings import load_config
from sera.specialize.config import pairs_of
from sera.specialize.plan import NAMES, Request, make_plan
from sera.specialize.run import StageFailed, carry_out, outlook
from sera.specialize.stage import Done, Stage, State, differences, read_done, state_of
from sera.training.config import TrainConfig

Asked = Callable[..., Request]


def test_every_stage_is_one_command_and_its_place(quick: Asked) -> None:
    request = quick()
    stages = make_plan(request)
    assert tuple(stages) == NAMES
    assert {stage.out for name, stage in stages.items() if name != "fetch"} == {
        request.out / name
        for name in (
            "environment.json",
            "tasks",
            "run",
            "dataset",
            "before",
            "student",
            "after",
            "report.html",
        )
    }
    assert stages["tasks"].line.endswith("--set mutants=1 --set history=0 --set test_seconds=10.0")
    for name in ("generate", "dataset"):
        words = stages[name].argv
        assert words[words.index("--held-out") + 1] == str(request.out / "tasks" / "held_out.txt")


def test_what_is_left_out_is_so_for_every_stage(quick: Asked) -> None:
    plain, request = make_plan(quick()), quick('leave_out=["*.md", "data"]')
    stages = make_plan(request)
    for name in ("prepare", "tasks", "generate"):
        assert 'leave_out=["*.md", "data"]' in stages[name].argv
    assert "leave_out" not in stages["dataset"].line
    assert plain["prepare"].fixed == stages["prepare"].fixed  # nothing there that it matches


def test_base_and_checkpoint_are_asked_alike(quick: Asked) -> None:
    stages = make_plan(quick("base=", "trained=", "gguf=q8_0", "evaluate.context=8192"))
    before, after = stages["before"].argv, stages["after"].argv
    assert before[before.index("--model") + 1] == "smollm2-135m-instruct"
    assert "teacher.format=hermes" in before
    student = stages["train"].out
    assert after[after.index("--model") + 1] == str(student / "student.gguf")
    assert f'profile="{student / "checkpoint"}"' in after
    shared = {"seeds=1", "check=false", "context=8192"}
    assert shared <= set(before)
    assert shared <= set(after)


def test_a_trained_student_at_an_address_keeps_its_checkpoint(quick: Asked) -> None:
    served = "trained=http://127.0.0.1:1/v1"
    after = make_plan(quick("base=", served, "evaluate.profile=sera-1", "generate.profile=sera-1"))["after"]
    assert [word for word in after.argv if word.startswith("profile=")] == [
        f'profile="{after.out.parent / "student" / "checkpoint"}"'
    ]
    with pytest.raises(
        UsageError, match=r"the run has the harness profile sera-1, and the table evaluate asks for"
    ):
        make_plan(quick("evaluate.profile=sera-1-any", "generate.profile=sera-1"))
    with pytest.raises(ConfigError, match="no harness profile 'nothing'"):
        make_plan(quick("evaluate.profile=nothing"))


def test_the_length_of_an_answer_is_the_same_at_an_address(quick: Asked) -> None:
    served = "http://127.0.0.1:1/v1"
    for base, trained, length in (("", served, "2048"), (served, "", "8192")):
        assert (
            f"teacher.max_tokens={length}"
            in make_plan(quick(f"base={base}", f"trained={trained}"))["after"].argv
        )
    for base, trained in (("", ""), (served, served), ("empty", served)):
        line = make_plan(quick(f"base={base}", f"trained={trained}"))["after"].line
        assert "max_tokens" not in line


def test_a_run_starts_before_the_commits_that_are_tasks(quick: Asked, tmp_path: Path) -> None:
    asked = msgspec.structs.replace(quick(), out=tmp_path)

    def revisions() -> list[str]:
        return [word for word in make_plan(asked)["generate"].argv if word.startswith("revision=")]

    assert not revisions()
    split = Split(unit="module", training_commit="abc")
    facts = dict.fromkeys(("source", "name", "tree", "commit", "environment", "runner"), "")
    for made, wanted in ((split, ["revision=abc"]), (Split(unit="module"), [])):
        rows = write_rows(asked.out / "tasks", [])
        manifest = Manifest(
            **facts, settings={}, seed=0, split=made, counts={}, operators={}, rejected={}, sha256=rows
        )
        (asked.out / "tasks" / "manifest.json").write_bytes(msgspec.json.encode(manifest))
        assert revisions() == wanted


def test_a_training_is_done_again_when_its_recipe_or_student_has_changed(
    quick: Asked, tmp_path: Path
) -> None:
    recipe, student = tmp_path / "own.toml", tmp_path / "student"
    recipe.write_text("epochs = 1.0\n")
    student.mkdir()
    shape = {
        "model_type": "qwen3", "num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8,
        "num_attention_heads": 1, "vocab_size": 99, "max_position_embeddings": 40_960,
    }  # fmt: skip
    (student / "config.json").write_text(json.dumps(shape))
    (student / "tokenizer.json").touch()
    asked = quick("base=", "trained=", f"recipe={recipe}", f"student={student}", "dataset.student=qwen3")
    made = make_plan(asked)
    recipe.write_text("epochs = 2.0\n")
    again = make_plan(asked)
    assert again["train"].identity != made["train"].identity
    assert again["before"].key == made["before"].key
    (student / "config.json").write_text(json.dumps(shape | {"num_hidden_layers": 2}))
    reshaped = make_plan(asked)
    assert reshaped["train"].identity != again["train"].identity
    assert reshaped["before"].identity != again["before"].identity
    assert again["dataset"].key == reshaped["dataset"].key


def test_pairs_are_read_back_to_the_same_values() -> None:
    table = {
        "learning_rate": 5e-4,
        "lora": {"rank": 4, "targets": ["q_proj", "v_proj"]},
        "device": {"gpu": "cpu"},
        "report": "none",
        "packing": True,
    }
    read = load_config(TrainConfig, pairs=pairs_of(table))
    assert read == msgspec.convert(table, TrainConfig)
    odd = {"a": {"x.y": "true", "z": [{"k": '1 = "2"'}]}, "text": "true"}
    assert pairs_of(odd) == ['a={ "x.y" = "true", "z" = [{ "k" = "1 = \\"2\\"" }] }', 'text="true"']


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("tasks.mutant=3", "the table tasks: .*mutant"),
        ("prepare.pyton=3", "the table prepare: .*pyton"),
        ("generate.teacher.temperture=1", "the table generate: .*temperture"),
        ("dataset.min_recal=1", "the table dataset: .*min_recal"),
        ("train.lr=1", "the table train: .*lr"),
        ("evaluate.teacher.modle=x", "the table evaluate: .*modle"),
        ("evaluation.seeds=3", "evaluation"),
    ],
)
def test_a_key_that_no_stage_has_is_refused(quick: Asked, pair: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_plan(quick(pair))


def test_no_student_and_unknown_stages_are_refused(quick: Asked) -> None:
    with pytest.raises(UsageError, match="--student"):
        make_plan(quick("student="))
    with pytest.raises(UsageError, match="no stage 'training'"):
        make_plan(quick(skip=("training",)))
    with pytest.raises(UsageError, match="no stage 'end'"):
        make_plan(quick(until="end"))


def test_what_cannot_be_without_a_stage_is_left_out_with_it(quick: Asked) -> None:
    standing = {one.stage.name: one.state for one in outlook(quick("trained=", skip=("tasks", "dataset")))}
    assert standing["generate"] == "to do"
    assert standing["before"] == "left out: nothing of tasks"
    assert standing["train"] == "left out: nothing of dataset"
    assert standing["after"].startswith("left out: nothing of")
    assert "--held-out" not in make_plan(quick(skip=("tasks",)))["generate"].argv


def test_a_stage_is_done_again_when_what_it_was_made_of_has_changed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.touch()
    stage = Stage(
        name="generate", why="", amount="", argv=("generate", "--set", "functions=3", "--set", "seed=1"),
        out=made, results=(made,), fixed={"the repository": "a"}, fresh={"the run": "x"}, grows=("functions=",),
    )  # fmt: skip

    def done(code: int | None = 0) -> Done:
        return Done(
            stage="generate", argv=stage.argv, fixed=stage.fixed, fresh=stage.fresh, key=stage.key,
            identity=stage.identity, code=code, began=1.0,
        )  # fmt: skip

    def changed(**fields: object) -> Stage:
        return msgspec.structs.replace(stage, **fields)

    more = changed(argv=("generate", "--set", "functions=5", "--set", "seed=1"))
    other = changed(argv=("generate", "--set", "functions=3", "--set", "seed=2"))
    assert state_of(stage, None) is State.NEW
    assert state_of(stage, done()) is State.DONE
    assert state_of(stage, done(code=1)) is State.UNFINISHED
    assert state_of(stage, done(code=None)) is State.UNFINISHED
    assert state_of(changed(results=(tmp_path / "gone",)), done()) is State.UNFINISHED
    assert state_of(more, done()) is State.CHANGED
    assert state_of(changed(fresh={"the run": "y"}), done()) is State.CHANGED
    assert state_of(other, done()) is State.ANEW
    assert state_of(changed(fixed={"the repository": "b"}), done()) is State.ANEW
    assert differences(other, done()) == ["now seed=2", "no more seed=1"]
    assert differences(changed(fixed={"the repository": "b"}), done()) == ["the repository"]


def test_a_secret_of_a_stage_is_on_no_command_line_and_in_no_record(tmp_path: Path) -> None:
    """The stage gets it all the same: another command of ours that prints what it was given."""
    token = "Hq7Zr2Kp9Lm4Xw"
    pair = f"sandbox.environment.DEPLOY={token}"
    address = f"http://127.0.0.1:1/{token}/v1"
    argv = (
        "generate",
        f"http://me:{token}@127.0.0.1:1/no.git",
        "--out",
        str(tmp_path / "run"),
        "--set",
        pair,
    )
    stage = Stage(
        name="generate", why="", amount="", argv=(*argv, "--teacher", address, "--model", "m"),
        out=tmp_path / "run", results=(),
    )  # fmt: skip
    told: list[str] = []
    seen: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.add(place.read_bytes().decode(errors="replace"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(StageFailed) as caught:
            carry_out(tmp_path, stage, told.append, tmp_path / "log")
    finally:
        stop.set()
        watcher.join()
    assert "127.0.0.1:1/no.git cannot be fetched" in (tmp_path / "log").read_text()
    assert any("sandbox.environment.DEPLOY=[redacted]" in line for line in seen), (
        "its command line was not seen"
    )
    for text in (
        *told,
        *seen,
        str(caught.value),
        *(f.read_text() for f in tmp_path.rglob("*") if f.is_file()),
    ):
        assert token not in text
    rotated = msgspec.structs.replace(
        stage, argv=tuple(word.replace(token, f"{token}9q") for word in stage.argv)
    )
    assert (rotated.key, rotated.identity) == (stage.key, stage.identity)
    done = read_done(tmp_path, "generate")
    assert done
    assert differences(rotated, done) == []
