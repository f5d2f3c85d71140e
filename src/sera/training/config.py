"""The settings of a training. The defaults are the paper's."""

from typing import Annotated, Literal

import msgspec

from sera.settings import Config, Count

_Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Number = Annotated[int, msgspec.Meta(ge=0)]
_MLP = ("gate_proj", "up_proj", "down_proj")
_HIGHEST_RATE = 0.1


class LoraConfig(Config, frozen=True):
    """A low-rank adapter instead of all weights. It is merged into them at the end."""

    rank: Count = 32
    """Rank of the adapter's matrices."""
    alpha: Count = 128
    """Its output counts alpha / rank times."""
    dropout: _Share = 0.0
    """Share of the adapter's inputs left out in training."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", *_MLP)
    """Layers that get one, by the last part of their name; by default all linear ones."""
    quantized: bool = False
    """Whether the frozen weights are held in 4 bits (QLoRA). Needs a GPU and bitsandbytes."""


class DeviceConfig(Config, frozen=True):
    """What it is trained on, for the forecast and for launch commands."""

    gpu: str = ""
    """A kind of GPU that sera knows, e.g. `h100`; `cpu`; empty: what this machine has."""
    gpus: Count = 1
    """GPUs of each machine."""
    nodes: Count = 1
    """Machines."""
    gpu_hour: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    """Dollars for an hour of one GPU; the paper's figure for an H100."""
    utilisation: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.4
    """Share of a GPU's peak that goes into the model's own arithmetic, recomputation not counted. An
    assumption: what is usual for dense models of this size at 32,768 tokens."""
    memory_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.92
    """Share of the memory that may be planned for; the rest is the driver's and lost between blocks."""


class AxolotlConfig(Config, frozen=True):
    """What only Axolotl is told."""

    python: str = ""
    """The Python of its own environment, to train with it at once; empty: its files are written, and the
    command to run them."""
    cut_cross_entropy: bool = False
    """Whether the loss is Apple's Cut Cross Entropy, the paper's. It needs a fork that no package index has;
    without it Liger's, which comes with Axolotl and computes the same."""


class TrlConfig(Config, frozen=True):
    """What only TRL is told: how a single GPU is made to hold more, and to work faster."""

    weights: Literal["fp32", "bf16"] = "fp32"
    """What trained weights and their gradients are held in, if all are trained. `bf16` takes half the room
    and learns worse. It is allowed with `adamw_8bit` alone, which rounds up or down at random: rounded to the
    nearest, the small changes of a fine-tune would all be lost."""
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    """AdamW with its two averages in 32 bits, or in 8, which takes 2 bytes a parameter instead of 8 and needs
    torchao."""
    attention: Literal["auto", "cudnn", "flash_attention_2"] = "auto"
    """Who computes attention on a GPU. `auto`: PyTorch, with the kernel that it prefers. `cudnn`: PyTorch,
    with cuDNN's kernel first, made for Hopper and later. Neither takes cuDNN's where rows of `micro_batch`
    above 1 are padded: its gradients can be no numbers then. `flash_attention_2`: flash-attn, which packed
    rows take in any case."""
    keep_attention: bool = False
    """Whether gradient checkpointing keeps what attention gives, and computes only the rest a second time.
    Attention is most of the work on long rows; keeping it takes about as much memory again as the inputs of
    the layers."""
    liger: bool = False
    """Whether norms, rotary positions and MLPs are computed by Liger's kernels. Needs a GPU and
    liger-kernel."""
    max_hours: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Hours that the steps may take; 0: no such limit. How long one takes is measured on the first, while the
    learning rate rises. Steps that there is no time for are then taken off, and the rate falls to 0 at the
    new end. Two machines train for as long, and not as much."""


class TrainConfig(Config, frozen=True):
    """How a student is trained."""

    epochs: _Positive = 3.0
    """Times each row is seen."""
    max_steps: _Number = 0
    """Steps after which it ends, whatever `epochs` says; 0: no such limit."""
    learning_rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Highest learning rate; 0 takes the paper's, 1e-5 for all weights and 5e-5 for an adapter."""
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.01
    """Of AdamW."""
    beta1: _Share = 0.9
    """Of AdamW."""
    beta2: _Share = 0.95
    """Of AdamW."""
    max_grad_norm: _Positive = 1.0
    """Gradients are scaled down to this norm."""
    warmup_steps: _Number = 48
    """Steps, not a share, in which the rate rises; then it falls as a cosine."""
    batch: Count = 32
    """Rows of one step, over all GPUs."""
    micro_batch: Count = 1
    """Rows that a GPU works on at once; the rest of `batch` is accumulated."""
    sequence: Count = 32_768
    """Longest row in tokens. A longer one is refused, never cut."""
    packing: bool = False
    """Whether short rows share a sequence, without seeing each other. The paper trains without."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """What is computed in. Trained weights are held in 32 bits all the same (`trl.weights`), since training
    them in 16 learns worse; with `fp32` on a GPU everything is. A processor trains all weights in what they
    are held in, and an adapter in 16."""
    gradient_checkpointing: bool = True
    """Whether activations are computed a second time instead of being kept."""
    activation_offload: bool = False
    """Whether kept activations wait in the machine's memory. The paper's; needs a GPU."""
    lora: LoraConfig | None = None
    """An adapter in the place of all weights."""
    zero: Literal[0, 1, 3] = 0
    """DeepSpeed's stage, for Axolotl: what is spread over the GPUs. 1: the optimizer; 3: everything, which
    an adapter cannot be trained with. The paper's are 1 for 8B and 3 for 32B."""
    seed: int = 42
    """Of the order of rows, of the split and of the adapter's first weights."""
    held_out: _Share = 0.0
    """Share of the tasks, drawn by the seed, that is kept from training to measure the loss on."""
    evaluate_every: _Number = 0
    """Steps between such measurements; 0: five times in the whole training. Before and after it always is."""
    save_every: Count = 50
    """Steps between states from which a training can go on."""
    report: Literal["none", "tensorboard", "trackio"] = "none"
    """Where figures go besides `metrics.jsonl`."""
    device: DeviceConfig = msgspec.field(default_factory=DeviceConfig)
    trl: TrlConfig = msgspec.field(default_factory=TrlConfig)
    axolotl: AxolotlConfig = msgspec.field(default_factory=AxolotlConfig)

    def __post_init__(self) -> None:
        if self.learning_rate > _HIGHEST_RATE:
            raise ValueError(
                f"a learning rate of {self.learning_rate:g} destroys any model: take at most 0.1"
            )
        if self.lora and not self.lora.targets:
            raise ValueError("lora.targets is empty: name the layers that get an adapter, e.g. q_proj")
        if self.lora and self.zero == 3:
            # DeepSpeed's pull request 8148 mends it; the versions that Axolotl 0.19 takes are older.
            raise ValueError(
                "zero=3 ends an adapter's training with a CheckpointError: DeepSpeed below 0.19, which "
                "Axolotl takes, loses frozen weights while gradients are computed. Set zero=0, and "
                "lora.quantized=true to hold them in less room"
            )
        if self.activation_offload and not self.gradient_checkpointing:
            raise ValueError("activation_offload needs gradient_checkpointing")
        if self.trl.keep_attention and not self.gradient_checkpointing:
            raise ValueError("trl.keep_attention needs gradient_checkpointing, without which all is kept")
        if self.trl.weights == "bf16" and self.trl.optimizer != "adamw_8bit":
            raise ValueError("trl.weights=bf16 needs trl.optimizer=adamw_8bit, or small changes are lost")

    @property
    def in_sixteen(self) -> bool:
        """Whether TRL holds the student's weights in 16 bits: the frozen ones of an adapter, or all."""
        return self.precision == "bf16" if self.lora else self.trl.weights == "bf16"

    @property
    def rate(self) -> float:
        """The highest learning rate in effect."""
        return self.learning_rate or (5e-5 if self.lora else 1e-5)
