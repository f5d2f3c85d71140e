"""Trained weights as a whole model in 16 bits: an adapter is merged, in 32 bits, into the student it
belongs to."""

import shutil
from pathlib import Path
from typing import Any

from sera.errors import TrainError, boundary
from sera.training.contract import Job
from sera.training.names import repair_names

_ADAPTER = "adapter_config.json"


def write_weights(job: Job, trained: Path, folder: Path) -> None:
    """`config.json` and safetensors in `folder`. Raises `TrainError` if they cannot be read or written."""
    import torch

    with boundary(
        TrainError, f"the trained weights in {trained} cannot be read", OSError, RuntimeError, ValueError
    ):
        model = _merged(job, trained) if (trained / _ADAPTER).is_file() else _whole(trained, folder)
    # What is raised when the disk is full differs between versions of the library.
    with boundary(TrainError, f"the checkpoint cannot be saved in {folder}", Exception):
        model.to(torch.bfloat16).save_pretrained(folder)


def _whole(trained: Path, folder: Path) -> Any:
    """A model whose wrapped names are repaired first, or its weights would not be found."""
    from transformers import AutoModelForCausalLM

    repaired = folder / "repaired"
    shutil.copytree(trained, repaired)
    repair_names(repaired)
    model = AutoModelForCausalLM.from_pretrained(repaired, dtype="float32", local_files_only=True)
    shutil.rmtree(repaired)
    return model


def _merged(job: Job, trained: Path) -> Any:
    from peft import PeftModel

    from sera.training.trl.loading import load_whole

    return PeftModel.from_pretrained(load_whole(job.student), str(trained)).merge_and_unload()


def expected_names(folder: Path) -> set[str]:
    """Names of the weights that a model with this `config.json` has; those that are tied count once."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    names = set(model.state_dict())
    return names - set(model.all_tied_weights_keys) if model.config.tie_word_embeddings else names
