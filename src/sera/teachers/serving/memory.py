"""Whether a model fits: weights and key-value cache against the memory of the GPUs.

    weights per GPU = parameters · bytes / GPUs              2 bytes in BF16; 1.06 in FP8, whose embeddings
                                                             and norms stay in BF16
    cache per token and GPU = 2 · layers · kv heads on the GPU · head size · 2 bytes
    room for the cache = memory · fraction − 4 GB − weights  4 GB for activations, CUDA graphs and NCCL

A GPU holds its share of the kv heads, and at least one. Both engines hand the cache out in pages, so what is
needed is room for the tokens that conversations have at the time, and at least for one full context.
"""

from sera.records import Record
from sera.teachers.serving.facts import Gpu, Model

TYPICAL = 32_000
"""Tokens of a whole trajectory by the method's statistics: 24,000 of the prompt and 7,700 answered."""
_BYTES = {"bf16": 2.0, "fp8": 1.06}
_CACHE_BYTES = 2
_RESERVE = 4.0
_GB = 1e9


class Layout(Record, frozen=True):
    """How a model is spread over GPUs."""

    precision: str
    """`bf16` or `fp8`."""
    gpus: int
    """All in one tensor-parallel group."""
    expert: bool
    """Whether experts are handed out whole instead of being split."""


class Fit(Record, frozen=True):
    """How a layout fills the memory. GB are 1e9 bytes and, but for `pool_gb`, per GPU."""

    memory_gb: float
    weights_gb: float
    pool_gb: float
    """Room for the cache on all GPUs together; negative if not even the weights fit."""
    token_bytes: int
    """Cache of one token on all GPUs together."""
    tokens: int
    """That the cache can hold."""
    context: int
    full: float
    """Conversations that fill the context, at once."""
    typical: float
    """Conversations as long as a whole trajectory, at once."""

    def holds(self, concurrency: int) -> bool:
        """Whether that many trajectories, or one full context, are at home at once."""
        return self.tokens >= self.context and self.typical >= concurrency


def fit(model: Model, gpu: Gpu, layout: Layout, context: int, fraction: float) -> Fit:
    """The memory of a layout; `fraction` is the part of a GPU that the engine may take."""
    weights = model.total * _BYTES[layout.precision] / layout.gpus
    heads = max(model.kv_heads / layout.gpus, 1)
    token = round(2 * model.layers * heads * model.head_dim * _CACHE_BYTES * layout.gpus)
    pool = (gpu.memory * fraction - _RESERVE - weights) * layout.gpus
    tokens = max(int(pool * _GB / token), 0)
    return Fit(
        memory_gb=gpu.memory,
        weights_gb=weights,
        pool_gb=pool,
        token_bytes=token,
        tokens=tokens,
        context=context,
        full=tokens / context,
        typical=tokens / min(TYPICAL, context),
    )


def layout(model: Model, gpu: Gpu, gpus: int, precision: str) -> Layout | str:
    """The layout for so many GPUs, or the reason why there is none."""
    if precision == "fp8" and not model.fp8:
        return "no FP8 variant of it is known"
    if precision == "fp8" and not gpu.fp8:
        return "this GPU does not compute in FP8"
    if model.heads % gpus or (model.kv_heads % gpus and gpus % model.kv_heads):
        return f"{model.heads} attention and {model.kv_heads} kv heads cannot be split over {gpus} GPUs"
    if precision == "bf16" or not model.fp8_block:
        return Layout(precision=precision, gpus=gpus, expert=False)
    width = model.expert_width or model.mlp_width
    if width % (gpus * model.fp8_block) == 0:
        return Layout(precision=precision, gpus=gpus, expert=False)
    if model.experts and model.experts % gpus == 0:
        return Layout(precision=precision, gpus=gpus, expert=True)
    return f"a width of {width} in FP8 blocks of {model.fp8_block} cannot be split over {gpus} GPUs"
