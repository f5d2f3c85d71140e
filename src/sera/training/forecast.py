"""What a training will take: memory on each device, hours and dollars, from shapes alone.

    memory       weights + gradients + optimizer, as many bytes a parameter as the trainer says,
                 + activations   with checkpointing: what comes in to each layer; without: all of all layers
                 + computing     the most of: the copy of the weights that they are computed with, one layer
                                 with its gradients, and the loss, which are never there together
    arithmetic   6 · parameters of the layers and the head for each token (4 for an adapter: frozen weights
                 need no gradient), and for attention 6 · layers · heads · head size · length, the mean over
                 a row with a causal mask
    disk         three states while one is written beside the two that are kept; or two, what the trainer
                 leaves, at most 4 bytes a parameter, the same with its names repaired, and the checkpoint
    finishing    the checkpoint's weights in the machine's memory, in 16 bits; to merge an adapter in 32
    hours        (arithmetic + waiting) / (peak of the GPUs · utilisation)
    waiting      rows side by side are padded to the longest of them, and devices wait for each other: after
                 every row with ZeRO-3, which brings weights together, else at the end of a step. Found by
                 dealing the rows out by the seed

A layer keeps for each token, as transformers' own modules do: of both norms what comes in, in 32 bits, what
is normed and what goes out; queries, keys and values, and attention's result twice; four times the width of
the MLP. Half as much again is alive while gradients are computed. Fused kernels keep less. The loss holds a
tile of logits, in place on a GPU; a processor makes eight tiles in 32 bits of it, reckoned as if all
positions of a row were trained. Utilisation is an assumption, named in every plan, and hours have bounds:
from 1.3 times of it to half of it, which holds the paper's own unit cost ($0.056 for a trajectory in three
epochs of Qwen3-32B, at $2 for an hour of an H100). A processor is reckoned at 0.05 TFLOP/s a core, measured
with SmolLM2-135M on two cores (117 tokens/s with all weights), with the same bounds.
"""

from collections.abc import Sequence
from math import ceil
from random import Random

from sera.errors import UsageError
from sera.models.shapes import Shape
from sera.processors import processors
from sera.records import Record
from sera.teachers.serving.facts import gpus
from sera.training.config import TrainConfig
from sera.training.contract import Bytes, Memory

_GB = 1e9
_LIBRARIES = 1.0e9
"""What the libraries themselves take, on a processor as on a GPU."""
_ALIVE = 1.5
FASTEST, SLOWEST = 1 / 1.3, 2.0
"""Bounds of the hours, as times of the likely ones."""
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
    return Device("cpu", free_memory() / _GB, _CPU * processors(), 1)


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
    layer, loss = tokens * _layer(shape, config, cost), _loss(shape, config, cost, tokens)
    copies = shape.parameters * cost.copy
    weights = shape.parameters * cost.weight + (trained * 4.0 if config.lora else 0)
    weights += cost.layers_gathered * 2.0 * shape.linear / shape.layers
    # A processor's memory is not given back between the two, a GPU's is used again.
    computing = layer * _ALIVE + loss if device.is_cpu else max(layer * _ALIVE, loss)
    if config.gradient_checkpointing:
        kept = 0.0 if config.activation_offload else tokens * shape.hidden * cost.stream
        kept += tokens * shape.heads * shape.head_dim * cost.activation if config.trl.keep_attention else 0.0
        computing = max(copies, computing)
    else:
        kept, weights = layer, weights + copies
    parts = {
        "libraries": _LIBRARIES,
        "weights": weights,
        "gradients": trained * cost.gradient,
        "optimizer": trained * cost.optimizer,
        "activations": shape.layers * kept,
        "computing": computing,
    }
    return Memory(
        device=device.name,
        has_gb=device.memory_gb * (1.0 if device.is_cpu else config.device.memory_share),
        parts={name: value / _GB for name, value in parts.items()},
    )


def disk_gb(shape: Shape, config: TrainConfig, cost: Bytes) -> float:
    """What the folder of a training holds at the worst moment."""
    trained = adapter_parameters(shape, config) if config.lora else shape.parameters
    state, finishing = trained * cost.state, 2 * trained * 4.0 + shape.parameters * 2.0
    return max(3 * state, 2 * state + finishing) / _GB


def finishing_gb(shape: Shape, config: TrainConfig) -> float:
    """What the machine itself holds while the checkpoint is finished."""
    return shape.parameters * (4.0 if config.lora else 2.0) / _GB


def _layer(shape: Shape, config: TrainConfig, cost: Bytes) -> float:
    """Bytes that a layer keeps for each token."""
    one, queries, keys = cost.activation, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    norms = 2 * shape.hidden * (4.0 + cost.stream + one)
    if shape.architecture == "qwen3":
        norms += (queries + keys) * (4.0 + 2 * one)
    attention, mlp = (3 * queries + 2 * keys) * one, 4 * shape.width * one
    # An adapter computes in 32 bits, and keeps what comes in to each of its layers in them.
    adapter = 4.0 * (5 * shape.hidden + queries + shape.width) if config.lora else 0.0
    return norms + attention + mlp + adapter


def _loss(shape: Shape, config: TrainConfig, cost: Bytes, tokens: int) -> float:
    """Bytes while the loss is computed: a tile of logits, and the gradients, first in 32 bits, of what comes
    in and of the head, if it is trained."""
    tile = min(tokens, cost.tile[0]) * min(shape.vocabulary, cost.tile[1]) * cost.logit
    head = 0 if config.lora else shape.vocabulary * shape.hidden * (4.0 + cost.gradient)
    return tile + tokens * shape.hidden * (4.0 + cost.activation) + head


def arithmetic(shape: Shape, lengths: Sequence[int], adapter: bool) -> float:
    """Floating-point operations of one epoch, without what is computed twice."""
    active = shape.linear + shape.vocabulary * shape.hidden
    dense = (4 if adapter else 6) * active * float(sum(lengths))
    attention = 6.0 * shape.layers * shape.heads * shape.head_dim * sum(n * n for n in lengths)
    return dense + attention


def waiting(shape: Shape, sequences: Sequence[Sequence[int]], config: TrainConfig, devices: int) -> float:
    """How many times its arithmetic an epoch lasts, all devices together: 1 for rows of one length, or one
    device and one row at a time. A sequence is the lengths of the rows in it, several where they are packed.
    """
    adapter = config.lora is not None
    plain = [arithmetic(shape, lengths, adapter) for lengths in sequences]
    Random(config.seed).shuffle(plain)
    size = config.micro_batch
    together = [plain[n : n + size] for n in range(0, len(plain), size)]
    micro = [len(padded) * max(padded) for padded in together]
    times = 1 if config.zero == 3 else accumulation(config, devices)
    """Micro-batches that a device works on before it waits for the others."""
    lasting = 0.0
    for start in range(0, len(micro), times * devices):
        shared = micro[start : start + times * devices]
        lasting += devices * max(sum(shared[rank::devices]) for rank in range(devices))
    return lasting / sum(plain)


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
