"""Axolotl's folder: every value of the method, the launch commands, and what is refused. The soak test asks Axolotl."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from training_support import Told, changed, make_data

from sera.errors import Halted, TrainError
from sera.leases import own_lease
from sera.settings import load_config
from sera.training import Request, TrainConfig, plan_training, train_student
from sera.training.axolotl.folder import launch_command, write_folder
from sera.training.axolotl.settings import axolotl_settings, deepspeed_settings, to_yaml
from sera.training.axolotl.validate import validate_with
from sera.training.config import DeviceConfig
from sera.training.recipes import find_recipe


def settings_of(request: Request, recipe: str) -> dict[str, object]:
    """The configuration of a recipe; warm-up shortened, since the dataset is."""
    config = load_config(TrainConfig, find_recipe(recipe), ["epochs=400"])
    job, plan = plan_training(msgspec.structs.replace(request, config=config, trainer="axolotl"))
    return axolotl_settings(job, plan)


@pytest.mark.parametrize(("recipe", "accumulated"), [("sera-8b", 4), ("sera-32b", 2)])
def test_every_value_of_the_method(asked: Request, recipe: str, accumulated: int) -> None:
    expected = {
        "learning_rate": 1e-5, "weight_decay": 0.01, "adam_beta1": 0.9, "adam_beta2": 0.95, "lr_scheduler": "cosine",
        "warmup_steps": 48, "sequence_len": 32_768, "sample_packing": False, "bf16": True, "micro_batch_size": 1,
        "gradient_accumulation_steps": accumulated, "gradient_checkpointing": True, "activation_offloading": True,
        "cut_cross_entropy": True, "attn_implementation": "flash_attention_2", "excess_length_strategy": "raise",
        "deepspeed": "./deepspeed.json", "train_on_inputs": False, "optimizer": "adamw_torch_fused",
    }  # fmt: skip
    found = settings_of(asked, recipe)
    assert {key: found[key] for key in expected} == expected
    assert "warmup_ratio" not in found
    assert found["datasets"][0]["message_field_training"] == "train"


@pytest.mark.parametrize(("recipe", "adapter"), [("lora", "lora"), ("qlora", "qlora")])
def test_adapters(asked: Request, recipe: str, adapter: str) -> None:
    config = load_config(TrainConfig, find_recipe(recipe), ["epochs=400", "device.gpu='h100'"])
    job, plan = plan_training(msgspec.structs.replace(asked, config=config))
    found = axolotl_settings(job, plan)
    assert (found["adapter"], found["lora_r"], found["lora_alpha"]) == (adapter, 32, 128)
    assert (found["learning_rate"], found["load_in_4bit"]) == (5e-5, adapter == "qlora")
    assert len(found["lora_target_modules"]) == 7


def test_deepspeed_stages() -> None:
    assert deepspeed_settings(1)["zero_optimization"]["stage"] == 1
    three = deepspeed_settings(3)["zero_optimization"]
    # Without it the saved weights are pieces that nobody can load.
    assert three["stage3_gather_16bit_weights_on_model_save"] is True
    assert deepspeed_settings(3)["bf16"] == {"enabled": True}


@pytest.mark.parametrize(
    ("gpus", "nodes", "command"),
    [
        (1, 1, "axolotl train axolotl.yaml --launcher python"),
        (8, 1, "axolotl train axolotl.yaml --launcher torchrun -- --nproc_per_node=8"),
        (
            8,
            2,
            "axolotl train axolotl.yaml --launcher torchrun -- --nproc_per_node=8 --nnodes=2 --rdzv_id=sera "
            '--rdzv_backend=c10d --rdzv_endpoint="$HEAD:29500"',
        ),
    ],
)
def test_launch_commands(gpus: int, nodes: int, command: str) -> None:
    assert launch_command(DeviceConfig(gpus=gpus, nodes=nodes)) == command


def test_small_numbers_stay_numbers() -> None:
    """YAML reads `1e-05` as a text."""
    tree = {"rate": 1e-5, "list": [{"a": 1, "b": {"c": "x: y"}}], "none": [], "text": "two\nlines"}
    assert to_yaml(tree) == (
        'rate: 0.00001\nlist:\n  - a: 1\n    b:\n      c: "x: y"\nnone: []\ntext: "two\\nlines"\n'
    )


def test_the_folder_is_written_and_its_command_told(asked: Request) -> None:
    request = msgspec.structs.replace(changed(asked, held_out=0.25), trainer="axolotl")
    with pytest.raises(Halted, match=r"run sh .*launch.sh in its environment"):
        train_student(request, Told())
    folder = request.out / "axolotl"
    launch = (folder / "launch.sh").read_text()
    assert "AXOLOTL_DO_NOT_TRACK=1" in launch
    assert "\neval_batch_size: 1\n" in (folder / "axolotl.yaml").read_text()
    rows, held_out = (
        [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]
        for name in ("train.jsonl", "held_out.jsonl")
    )
    assert len(rows) + len(held_out) == 12
    assert {frozenset(turn) for row in rows for turn in row["messages"]} == {
        frozenset(("role", "content", "train"))
    }
    assert (folder / "tokenizer" / "tokenizer.json").is_file()
    assert subprocess.run(["sh", "-n", folder / "launch.sh"]).returncode == 0


def test_what_axolotl_has_trained_is_finished(asked: Request, student_folder: Path) -> None:
    """The same command, after its launch script has done its work."""
    request = msgspec.structs.replace(asked, trainer="axolotl")
    with pytest.raises(Halted):
        train_student(request, Told())
    output = Path(shutil.copytree(student_folder, request.out / "axolotl" / "output"))
    (output / "whole").touch()
    figures = [
        {"step": 1, "epoch": 0.5, "loss": 2.0, "learning_rate": 1e-5},
        {"step": 1, "epoch": 0.5, "train_loss": 1},
    ]
    (output / "trainer_state.json").write_text(json.dumps({"log_history": figures}))
    finished = train_student(request, Told())
    assert (finished.trainer, finished.loss_first) == ("axolotl", 2.0)


def test_structured_calls_are_refused(asked: Request, bare_student: Path, tmp_path: Path) -> None:
    raw = make_data(tmp_path / "raw", bare_student, format="raw")
    job, plan = plan_training(msgspec.structs.replace(asked, dataset=raw))
    with pytest.raises(TrainError, match="--format hermes or xml"):
        write_folder(job, plan, tmp_path / "folder")


def test_an_environment_without_axolotl(asked: Request) -> None:
    with pytest.raises(TrainError, match="pip install axolotl"):
        validate_with(asked, Path(sys.executable))


def test_what_a_question_leaves_behind_can_be_found(asked: Request, tmp_path: Path) -> None:
    """The folder bears the lease of this process, by which `sera gc` judges it."""
    for name in ("python", "axolotl"):
        (tmp_path / name).write_text("#!/bin/sh\npwd >&2\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(TrainError, match=rf"sera-axolotl-{own_lease()}-"):
        validate_with(msgspec.structs.replace(asked, trainer="axolotl"), tmp_path / "python")


def test_an_axolotl_that_fails(asked: Request, tmp_path: Path) -> None:
    """A program in its place that says why it fails."""
    program = tmp_path / "axolotl"
    program.write_text("#!/bin/sh\necho 'CUDA is not there' >&2\nexit 3\n")
    program.chmod(0o755)
    request = changed(asked, axolotl={"python": str(tmp_path / "python")})
    with pytest.raises(TrainError, match=r"ended with 3: CUDA is not there"):
        train_student(msgspec.structs.replace(request, trainer="axolotl"), Told())


def test_an_environment_without_the_fork(
    asked: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Axolotl is not started without the paper's loss; with it there the launch script is."""
    chosen = {"python": sys.executable, "cut_cross_entropy": True}
    request = msgspec.structs.replace(changed(asked, axolotl=chosen), trainer="axolotl")
    with pytest.raises(TrainError, match=r"needs the fork .*--set axolotl.cut_cross_entropy=false"):
        train_student(request, Told())
    assert not (request.out / "axolotl.log").exists()
    patch = tmp_path / "fork" / "cut_cross_entropy" / "transformers" / "patch.py"
    patch.parent.mkdir(parents=True)
    (patch.parents[1] / "__init__.py").write_text("raise RuntimeError('there is no GPU')\n")
    patch.write_text("AXOLOTL_CCE_FORK = True\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fork"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrainError, match=r"Axolotl ended with"):
        train_student(request, Told())


@pytest.mark.soak
def test_axolotl_takes_the_settings_and_reads_the_rows_as_proven(
    asked: Request, student_folder: Path, tmp_path: Path
) -> None:
    """In an environment made here, or in that of `$SERA_AXOLOTL`: 4 GB and a few minutes."""
    python = Path(os.environ.get("SERA_AXOLOTL") or make_environment(tmp_path / "axolotl"))
    for recipe in ("lora", "qlora", "sera-8b", "sera-32b"):
        pairs = ["epochs=400", "device.gpu='h100'", "axolotl.cut_cross_entropy=false", "held_out=0.2"]
        config = load_config(TrainConfig, find_recipe(recipe), pairs)
        found = validate_with(msgspec.structs.replace(asked, config=config, trainer="axolotl"), python)
        assert found.rows
        assert found.trained
    for recipe in ("sera-8b", "sera-32b"):  # as shipped: everything is taken, and then the fork is missed
        config = load_config(TrainConfig, find_recipe(recipe), ["epochs=400"])
        shipped = msgspec.structs.replace(asked, config=config, trainer="axolotl")
        with pytest.raises(TrainError, match="needs the fork"):
            validate_with(shipped, python)


def make_environment(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "axolotl==0.19.0"]
    subprocess.run(pip, check=True, timeout=1800)
    return folder / "bin" / "python"
