"""What a training will take: memory on each device, hours and dollars, from shapes alone.

    memory       weights + gradients + optimizer, as many bytes a parameter as the trainer says,
                 + activations   with checkpointing: the input of each layer, and one layer computed again;
                                 without: all of all layers
                 + loss          the logits of one tile of positions, in three forms
    arithmetic   6 · parameters of the layers and the head for each token (4 for an adapter: frozen weights
                 need no gradient), and for attention 6 · layers · heads · head size · length, the mean over
                 a row with a causal mask
    hours        arithmetic / (peak of the GPUs · utilisation)

Inside a layer, the numbers kept for each token are 6 of the hidden size, 2 of all heads and kv heads, and 4
of the MLP's width; half as many again are alive while gradients are computed. These are what the usual
kernels keep. Utilisation is an assumption, named in every plan. A processor is reckoned at 0.05 TFLOP/s a
core, measured with SmolLM2-135M on two cores (117 tokens/s with all weights).
"""

import os
from collections.abc import Sequence
from math import ceil

from sera.errors import UsageError
from sera.records import Record
from sera.teachers.serving.facts import gpus
from sera.training.config import TrainConfig
from sera.training.contract import Bytes, Memory
from sera.training.student import Shape

_GB = 1e9
_TILE = 8_192
"""Positions whose logits are there at once."""
_LOGIT_BYTES = 12.0
_LIBRARIES = 1.0e9
"""What the libraries themselves take, on a processor as on a GPU."""
_ALIVE = 1.5
_CPU = 0.05e12


class Device(Record, frozen=True):
    """What is trained on."""

    name: str
    memory_gb: float
    flops: float
    """Peak of one, for the format that is computed in."""
    number: int
    """All of them."""

    @property
    def is_cpu(self) -> bool:
        """Whether it is this machine's processor."""
        return self.name == "cpu"


def find_device(config: TrainConfig, here: "Device | None" = None) -> Device:
    """The devices that settings name; `here` is what this machine has, taken where they name none."""
    wanted = config.device
    if not wanted.gpu:
        found = here or this_machine()
        return Device(found.name, found.memory_gb, found.flops, wanted.gpus * wanted.nodes)
    if wanted.gpu == "cpu":
        return cpu()
    known = gpus()
    if wanted.gpu not in known:
        raise UsageError(f"no facts about the GPU {wanted.gpu!r}: known are cpu, {', '.join(known)}")
    gpu = known[wanted.gpu]
    return Device(wanted.gpu, gpu.memory, gpu.tflops * 1e12, wanted.gpus * wanted.nodes)


def this_machine() -> Device:
    """Its GPU if torch sees one, else its processor."""
    try:
        import torch
    except ImportError:
        return cpu()
    if not torch.cuda.is_available():
        return cpu()
    properties = torch.cuda.get_device_properties(0)
    title = properties.name.lower()
    known = gpus()
    name = next(
        (name for name in sorted(known, key=len, reverse=True) if name.split("-")[0] in title), "h100"
    )
    return Device(name, properties.total_memory / _GB, known[name].tflops * 1e12, 1)


def cpu() -> Device:
    """The processor, with the memory that is free now."""
    return Device("cpu", free_memory() / _GB, _CPU * (os.cpu_count() or 1), 1)


def free_memory() -> float:
    """Bytes that the kernel says can be had."""
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123  (a file of the kernel's)
        fields = {line.split(":")[0]: int(line.split()[1]) for line in file}
    return fields["MemAvailable"] * 1024.0


def adapter_parameters(shape: Shape, config: TrainConfig) -> int:
    """Parameters of the adapter that the settings ask for."""
    assert config.lora
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    sides = {
        "q_proj": shape.hidden + query,
        "k_proj": shape.hidden + key,
        "v_proj": shape.hidden + key,
        "o_proj": query + shape.hidden,
        "gate_proj": shape.hidden + shape.width,
        "up_proj": shape.hidden + shape.width,
        "down_proj": shape.hidden + shape.width,
    }
    return shape.layers * config.lora.rank * sum(sides.get(name, 0) for name in config.lora.targets)


def memory(shape: Shape, config: TrainConfig, device: Device, cost: Bytes, longest: int) -> Memory:
    """What one device holds when it works on its longest rows."""
    trained = adapter_parameters(shape, config) if config.lora else shape.parameters
    tokens = config.micro_batch * longest if not config.packing else config.micro_batch * config.sequence
    inner = 6 * shape.hidden + 2 * (shape.heads + shape.kv_heads) * shape.head_dim + 4 * shape.width
    if config.lora:
        # An adapter computes in 32 bits, and keeps each layer's input in them.
        inner += 2 * (5 * shape.hidden + shape.heads * shape.head_dim + shape.width)
    if config.gradient_checkpointing:
        kept = 0 if config.activation_offload else shape.layers * tokens * shape.hidden
        activations = (kept + tokens * inner * _ALIVE) * cost.activation
    else:
        activations = (shape.layers + _ALIVE) * tokens * inner * cost.activation
    gathered = cost.layers_gathered * 2.0 * shape.linear / shape.layers
    parts = {
        "libraries": _LIBRARIES,
        "weights": shape.parameters * cost.weight + gathered + (trained * 4.0 if config.lora else 0),
        "gradients": trained * cost.gradient,
        "optimizer": trained * cost.optimizer,
        "activations": activations,
        "loss": min(tokens, _TILE) * shape.vocabulary * _LOGIT_BYTES,
    }
    return Memory(
        device=device.name,
        has_gb=device.memory_gb * (1.0 if device.is_cpu else config.device.memory_share),
        parts={name: value / _GB for name, value in parts.items()},
    )


def arithmetic(shape: Shape, lengths: Sequence[int], adapter: bool) -> float:
    """Floating-point operations of one epoch, without what is computed twice."""
    active = shape.linear + shape.vocabulary * shape.hidden
    dense = (4 if adapter else 6) * active * float(sum(lengths))
    attention = 6.0 * shape.layers * shape.heads * shape.head_dim * sum(n * n for n in lengths)
    return dense + attention


def steps_of(rows: int, config: TrainConfig, devices: int) -> tuple[int, int]:
    """(steps of an epoch, steps in all). What is left over at an epoch's end is a step of its own."""
    per_device = ceil(ceil(rows / devices) / config.micro_batch)
    epoch = max(ceil(per_device / accumulation(config, devices)), 1)
    wanted = ceil(epoch * config.epochs)
    return epoch, min(wanted, config.max_steps) if config.max_steps else wanted


def accumulation(config: TrainConfig, devices: int) -> int:
    """Times a device works on `micro_batch` rows in a step; `UsageError` if that does not come out even."""
    share, rest = divmod(config.batch, config.micro_batch * devices)
    if rest or not share:
        raise UsageError(
            f"a batch of {config.batch} cannot be had from {devices} devices with {config.micro_batch} rows "
            f"each: set batch to a multiple of {config.micro_batch * devices}"
        )
    return share
