"""Trained weights as a whole model in 16 bits: an adapter is merged, in 32 bits, into the student it
belongs to. What a trainer has left is not changed, and its states are not looked at."""

import os
import shutil
from pathlib import Path
from typing import Any

from sera.errors import TrainError, boundary
from sera.training.contract import Job
from sera.training.names import refuse_missing, repair_names

_ADAPTER = "adapter_config.json"


def write_weights(job: Job, trained: Path, folder: Path) -> int:
    """`config.json` and safetensors in `folder`; how many names of weights had to be repaired.

    Raises `TrainError` if weights are missing, or cannot be read or written.
    """
    import torch

    with boundary(
        TrainError, f"the trained weights in {trained} cannot be read", OSError, RuntimeError, ValueError
    ):
        adapter = (trained / _ADAPTER).is_file()
        model, repaired = (_merged(job, trained), 0) if adapter else _whole(trained, folder)
    # What is raised when the disk is full differs between versions of the library.
    with boundary(TrainError, f"the checkpoint cannot be saved in {folder}", Exception):
        model.to(torch.bfloat16).save_pretrained(folder)
    return repaired


def _whole(trained: Path, folder: Path) -> tuple[Any, int]:
    """A model, and how many names were wrapped. The library draws weights that it does not find at random."""
    from transformers import AutoModelForCausalLM

    repaired = folder / "repaired"
    _take(trained, repaired)
    wrapped = repair_names(repaired)
    refuse_missing(repaired, *expected_names(repaired))
    model = AutoModelForCausalLM.from_pretrained(repaired, dtype="bfloat16", local_files_only=True)
    shutil.rmtree(repaired)
    return model, len(wrapped)


def _take(trained: Path, folder: Path) -> None:
    """The model's own files in a folder of ours. Weights are links where the disk has them: `repair_names`
    writes files anew."""
    folder.mkdir()
    for file in trained.glob("*.json"):
        shutil.copyfile(file, folder / file.name)
    for file in trained.glob("*.safetensors"):
        try:
            os.link(file, folder / file.name)
        except OSError:
            shutil.copyfile(file, folder / file.name)


def _merged(job: Job, trained: Path) -> Any:
    from peft import PeftModel

    from sera.training.trl.loading import load_whole

    return PeftModel.from_pretrained(load_whole(job.student), str(trained)).merge_and_unload()


def expected_names(folder: Path) -> tuple[set[str], set[str]]:
    """Names of the weights that a model with this `config.json` needs, and of all it knows: those that are
    tied to others need not be there."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    names = set(model.state_dict())
    return names - set(model.all_tied_weights_keys), names
