"""Trained weights as a whole model in 16 bits: an adapter is merged, in 32 bits, into the student it
belongs to, rounded once at the end, and kept beside it. What a trainer has left is not changed, and its
states are not looked at."""

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sera.errors import TrainError, boundary
from sera.training.contract import Job
from sera.training.names import refuse_missing, repair_names
from sera.training.tokenizer_files import pretty

ADAPTER = "adapter"
"""The folder of the adapter in a checkpoint, in PEFT's form."""
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class Written(NamedTuple):
    """What became of trained weights."""

    repaired: int
    """Names of weights that had to be repaired."""
    rounding: float | None = None
    """Of an adapter: what rounding the merged weights to 16 bits changes, over what the adapter does."""


def write_weights(job: Job, trained: Path, folder: Path) -> Written:
    """`config.json` and safetensors in `folder`, and the adapter if there is one.

    Raises `TrainError` if weights are missing, or cannot be read or written.
    """
    import torch

    with boundary(
        TrainError, f"the trained weights in {trained} cannot be read", OSError, RuntimeError, ValueError
    ):
        adapter = (trained / _CONFIG).is_file()
        model, written = _merged(job, trained) if adapter else _whole(trained, folder)
    # What is raised when the disk is full differs between versions of the library.
    with boundary(TrainError, f"the checkpoint cannot be saved in {folder}", Exception):
        model.to(torch.bfloat16).save_pretrained(folder)
        if adapter:
            _keep_adapter(job, trained, folder / ADAPTER)
    return written


def _whole(trained: Path, folder: Path) -> tuple[Any, Written]:
    """A model with wrapped names repaired. The library draws weights that it does not find at random."""
    from transformers import AutoModelForCausalLM

    repaired = folder / "repaired"
    _take(trained, repaired)
    wrapped = repair_names(repaired)
    refuse_missing(repaired, *expected_names(repaired))
    model = AutoModelForCausalLM.from_pretrained(repaired, dtype="bfloat16", local_files_only=True)
    shutil.rmtree(repaired)
    return model, Written(len(wrapped))


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


def _merged(job: Job, trained: Path) -> tuple[Any, Written]:
    """A model in 32 bits."""
    from peft import PeftModel

    from sera.training.trl.loading import load_whole

    model = PeftModel.from_pretrained(load_whole(job.student), str(trained))
    rounding = _rounding(model)
    return model.merge_and_unload(), Written(0, rounding)


def _rounding(model: Any) -> float:
    """Frobenius norms over all layers that have an adapter. Part of it are changes too small for 16 bits."""
    import torch

    rounded, changed = 0.0, 0.0
    with torch.no_grad():
        for layer in model.modules():
            for name in getattr(layer, "active_adapters", ()) if hasattr(layer, "get_delta_weight") else ():
                change = layer.get_delta_weight(name)
                merged = layer.get_base_layer().weight + change
                rounded += float((merged.to(torch.bfloat16).float() - merged).square().sum())
                changed += float(change.square().sum())
    return (rounded / changed) ** 0.5 if changed else 0.0


def _keep_adapter(job: Job, trained: Path, folder: Path) -> None:
    """It belongs to the student by its name, wherever that lay."""
    config = msgspec.json.decode((trained / _CONFIG).read_bytes(), type=dict[str, Any])
    folder.mkdir()
    (folder / _CONFIG).write_bytes(pretty({**config, "base_model_name_or_path": job.student.name}))
    shutil.copyfile(trained / _WEIGHTS, folder / _WEIGHTS)


def expected_names(folder: Path) -> tuple[set[str], set[str]]:
    """Names of the weights that a model with this `config.json` needs, and of all it knows: those that are
    tied to others need not be there."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    names = set(model.state_dict())
    return names - set(model.all_tied_weights_keys), names
