"""What is looked at before any time of a GPU is spent. Each refusal is one sentence with its cure."""

import shutil
from pathlib import Path

import msgspec

from sera.datasets.exchange.contract import BuiltDataset, open_dataset
from sera.datasets.proof import StudentNames, check_dataset
from sera.datasets.proof.gate import told
from sera.datasets.rendering import Student
from sera.errors import DatasetError, TrainError, UsageError, boundary
from sera.harness.profile import Profile, load_profile
from sera.training.config import TrainConfig
from sera.training.contract import Memory, Plan, Trainer
from sera.training.forecast import Device
from sera.training.student import StudentModel

_SHIPPED = ("sera-1", "sera-1-any")


def proven_dataset(path: Path, names: StudentNames) -> BuiltDataset:
    """The dataset, with all proofs passed for this student. Raises `DatasetError` with the first fault."""
    dataset = open_dataset(path)
    report = check_dataset(path, names)
    if not report.ok:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in report.counts.items())
        raise DatasetError(
            f"{path} does not pass its proofs ({kinds}) and is not trained on. First, "
            f"{told(report.faults[0])}"
        )
    return dataset


def refuse_unlike(student: StudentModel, reading: Student) -> None:
    """Raises `TrainError` if model and tokenizer do not belong together."""
    size = reading.tokenizer.get_vocab_size(with_added_tokens=True)
    if size > student.shape.vocabulary:
        raise TrainError(
            f"the tokenizer has {size:,} tokens and {student.name} only {student.shape.vocabulary:,}: "
            f"it is of "
            f"another model. Give --tokenizer the student's own tokenizer.json"
        )
    if reading.pad and reading.tokenizer.token_to_id(reading.pad) is None:
        raise TrainError(
            f"the padding token {reading.pad!r} is not in the tokenizer of {student.name}: set pad_token"
        )


def refuse_long(longest: int, student: StudentModel, config: TrainConfig) -> None:
    """Raises `TrainError` if a row does not fit; nothing is ever cut."""
    if longest > student.shape.context:
        raise TrainError(
            f"the longest row has {longest:,} tokens, and {student.name} reads "
            f"{student.shape.context:,}: build "
            f"the dataset with --max-row-tokens {student.shape.context}"
        )
    if longest > config.sequence:
        raise TrainError(
            f"the longest row has {longest:,} tokens, and sequence is {config.sequence:,}: nothing is "
            f"cut here. "
            f"Set sequence={longest}, or build the dataset with --max-row-tokens {config.sequence}"
        )


def refuse_spread(trainer: Trainer, devices: int) -> None:
    """Raises `UsageError` if a trainer is asked for more devices than it can use."""
    if devices > trainer.most_devices:
        raise UsageError(
            f"the trainer {trainer.name} uses {trainer.most_devices} device, not {devices}: take --trainer "
            f"axolotl"
        )


def refuse_without_gpu(config: TrainConfig, device: Device) -> None:
    """Raises `TrainError` if a processor is asked for what only a GPU does."""
    wanted = {
        "lora.quantized": config.lora is not None and config.lora.quantized,
        "activation_offload": config.activation_offload,
        "trl.attention": config.trl.attention != "auto",
        "trl.liger": config.trl.liger,
    }
    if device.is_cpu and (asked := [name for name, is_set in wanted.items() if is_set]):
        raise TrainError(
            f"{', '.join(asked)} needs a GPU, and this is a processor: leave it out, or name the GPU with "
            f"device.gpu"
        )


def refuse_schedule(config: TrainConfig, steps: int) -> None:
    """Raises `UsageError` if the rate would never be reached."""
    if config.warmup_steps >= steps:
        raise UsageError(
            f"warmup_steps is {config.warmup_steps} and the whole training has {steps} steps, so the "
            f"learning "
            f"rate would never be reached: set warmup_steps lower, or train longer"
        )


def refuse_unfit(plan: Plan) -> None:
    """Raises `TrainError` if a device cannot hold it, with what would help."""
    refuse_too_little(plan.student, plan.memory, adapter=plan.trained_parameters < plan.parameters)


def refuse_too_little(student: str, memory: Memory, adapter: bool) -> None:
    """The same, of a forecast of memory alone."""
    if memory.needs_gb > memory.has_gb:
        worst = max(memory.parts, key=lambda name: memory.parts[name])
        raise TrainError(
            f"{student} does not fit: {memory.needs_gb:.1f} GB are needed on each {memory.device} and "
            f"{memory.has_gb:.1f} GB can be had, most of it for {worst} ({memory.parts[worst]:.1f} GB). "
            f"{(_CURES | _CURES_OF_ADAPTERS if adapter else _CURES)[worst]}"
        )


_CURES = {
    "libraries": "Free some memory",
    "weights": "Take more GPUs with zero=3 (Axolotl), or QLoRA: the recipe qlora",
    "gradients": "Train an adapter: the recipe lora",
    "optimizer": "Train an adapter (the recipe lora), hold it and the weights in fewer bits "
    "(trl.optimizer=adamw_8bit and trl.weights=bf16), or spread it with zero=1 or 3 over more GPUs (Axolotl)",
    "activations": "Set gradient_checkpointing=true, activation_offload=true or micro_batch=1, or build a "
    "dataset of shorter rows",
    "computing": "Set micro_batch=1, or build a dataset of shorter rows",
}
_CURES_OF_ADAPTERS = {
    "weights": "Hold them in 4 bits (the recipe qlora), or take a GPU with more memory; what comes on top is "
    "less with activation_offload=true",
}


def refuse_full_disk(out: Path, plan: Plan) -> None:
    """Raises `TrainError` if states and checkpoint do not fit beside each other. What an earlier call has
    left in the folder is part of them."""
    place = next(parent for parent in (out.resolve(), *out.resolve().parents) if parent.exists())
    there = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    room = (shutil.disk_usage(place).free + there) / 1e9
    if plan.disk_gb > room:
        raise TrainError(
            f"{plan.disk_gb:.1f} GB are needed for states and checkpoint, and {place} has room for "
            f"{room:.1f} GB: choose a folder on a larger disk"
        )


def find_profile(hash_: str, given: Path | None) -> Profile:
    """The harness profile of that hash: a shipped one, a folder, or the `harness.json` of a run or an import.

    Raises `UsageError` if it is none of them.
    """
    for name in _SHIPPED:
        if (profile := load_profile(name)).hash == hash_:
            return profile
    if given is None:
        raise UsageError(
            f"the dataset was made with the harness profile {hash_[:12]}, which does not ship with "
            f"sera: give "
            f"--harness the run or the import that it was built from, which has a harness.json, so that the "
            f"student can be served with it"
        )
    if given.is_dir() and not (given / "harness.json").is_file():
        profile = load_profile(str(given))
    else:
        file = given / "harness.json" if given.is_dir() else given
        with boundary(UsageError, f"harness profile {file}", OSError, msgspec.DecodeError):
            profile = msgspec.json.decode(file.read_bytes(), type=Profile)
    if profile.hash != hash_:
        raise UsageError(
            f"{given} holds the harness profile {profile.hash[:12]}, and the dataset was made with "
            f"{hash_[:12]}: give that of its own run"
        )
    return profile
