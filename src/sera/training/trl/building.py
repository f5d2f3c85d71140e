"""TRL's trainer, told everything that the settings say. What it is given is proven elsewhere.

A GPU computes attention without ever holding a square of the length, as long as no row is padded, which is so
with `micro_batch=1` or packed rows. Rows of different lengths side by side need a mask, and with it slower
kernels.
"""

import os
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from math import cos, pi
from pathlib import Path
from shutil import which
from typing import Any

from sera.errors import TrainError, UsageError, boundary
from sera.training.config import TrainConfig
from sera.training.forecast import accumulation, find_device
from sera.training.rows import Files
from sera.training.trl.loading import FLASH

_KEPT = 2
_TIMES = 5
OPTIMIZERS: dict[str, tuple[str, str | None]] = {
    "adamw": ("adamw_torch_fused", None),
    "adamw_8bit": ("adamw_torch_8bit", "bf16_stochastic_round=True"),
}
"""As transformers calls them, and what they are told."""


def make_trainer(
    config: TrainConfig, model: Any, adapter: Any, tokenizer: Any, steps: int, rows: Files, out: Path,
    callbacks: Sequence[Any],
) -> Any:  # fmt: skip
    """The trainer of a model on rows in files. Raises `TrainError` if it refuses its settings."""
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTTrainer

    class Trainer(SFTTrainer):  # type: ignore[misc]  # of a library without types
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            """A cosine to the end of the training, which may be brought forward while the rate rises."""
            from torch.optim.lr_scheduler import LambdaLR

            def share(step: int) -> float:
                return rate_at(step, config.warmup_steps, self.state.max_steps or num_training_steps)

            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, share)
            return self.lr_scheduler

    with boundary(TrainError, "the trainer refuses its settings", ValueError, ImportError, RuntimeError):
        trainer = Trainer(
            model=model,
            args=_arguments(config, steps, out),
            train_dataset=_open(rows.train),
            eval_dataset=_open(rows.held_out) if rows.held_out else None,
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=list(callbacks),
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def rate_at(step: int, warmup: int, steps: int) -> float:
    """The learning rate as a share of the highest: up in a line, then down as half a cosine."""
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + cos(pi * min((step - warmup) / max(steps - warmup, 1), 1.0)))


def refuse_missing(config: TrainConfig) -> None:
    """Raises `UsageError` if a library that settings ask for is not here, `TrainError` if the GPU is not."""
    import torch

    device = find_device(config)
    if not device.is_cpu and not torch.cuda.is_available():
        raise TrainError(
            f"device.gpu is {device.name}, and torch sees no GPU here: train where there is one, or set "
            f"device.gpu=cpu"
        )
    wanted = {
        "trl.optimizer=adamw_8bit": config.trl.optimizer == "adamw_8bit" and "torchao",
        "trl.liger": config.trl.liger and "liger-kernel",
        "trl.attention=flash_attention_2": config.trl.attention == FLASH and "flash-attn",
        "packing on a GPU": config.packing and not device.is_cpu and "flash-attn",
        "lora.quantized": config.lora and config.lora.quantized and "bitsandbytes",
    }
    for setting, package in wanted.items():
        if package and not find_spec(package.replace("-", "_")):
            raise UsageError(f"{setting} needs a library: pip install {package}")
    if not device.is_cpu:
        _refuse_no_compiler()


def _refuse_no_compiler() -> None:
    """Triton, which computes TRL's loss on a GPU, builds its launcher when it is first used. Raises
    `UsageError` if it could not."""
    if not (os.environ.get("CC") or which("gcc") or which("clang")):
        raise UsageError("training on a GPU needs a C compiler, for Triton: install gcc, or name one in CC")
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    own = sysconfig.get_path("include", scheme)
    if not any(
        Path(folder, "Python.h").is_file() for folder in (own, *os.environ.get("CPATH", "").split(":"))
    ):
        raise UsageError(
            f"training on a GPU needs the headers of Python, for Triton, and there is no {own}/Python.h: "
            f"install them (python3-dev on Debian), or name their folder in CPATH"
        )


@contextmanager
def attention(config: TrainConfig) -> Iterator[None]:
    """Within it attention is computed by the kernel that settings prefer, if it can be had for a row.

    Rows side by side have a mask, with which the gradients of cuDNN's kernel can be no numbers (PyTorch's
    issue 196678, found with 2.11 to 2.13). It is left out then, also where PyTorch would prefer it by itself.
    """
    masked = config.micro_batch > 1 and not config.packing
    if not masked and config.trl.attention != "cudnn":
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    order = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel(order if masked else [SDPBackend.CUDNN_ATTENTION, *order], set_priority=True):
        yield


@contextmanager
def only_trained_positions(config: TrainConfig) -> Iterator[None]:
    """Within it the loss on a processor works out the logits of trained positions alone, as TRL does it on a
    GPU. A conversation trains every seventh of its tokens, and all the others would cost as much.

    TRL asks a function of its own whether to leave the others out; another version that does not have it
    works out all of them, with the same loss.
    """
    from trl.trainer import utils

    name = "_use_triton"
    if not find_device(config).is_cpu or not hasattr(utils, name):
        yield
        return
    before = getattr(utils, name)
    setattr(utils, name, lambda device: True)  # noqa: ARG005
    try:
        yield
    finally:
        setattr(utils, name, before)


def _arguments(config: TrainConfig, steps: int, out: Path) -> Any:
    """The settings in TRL's words."""
    from trl import SFTConfig

    device = find_device(config)
    optimizer, how = OPTIMIZERS[config.trl.optimizer]
    arguments = SFTConfig(
        output_dir=str(out),
        per_device_train_batch_size=config.micro_batch,
        per_device_eval_batch_size=config.micro_batch,
        gradient_accumulation_steps=accumulation(config, device.number),
        learning_rate=config.rate,
        weight_decay=config.weight_decay,
        optim=optimizer,
        optim_args=how,
        adam_beta1=config.beta1,
        adam_beta2=config.beta2,
        max_grad_norm=config.max_grad_norm,
        max_steps=steps,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_steps,
        bf16=config.precision == "bf16" and not device.is_cpu,
        use_cpu=device.is_cpu,
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False, "selective": config.trl.keep_attention},
        activation_offloading=config.activation_offload,
        use_liger_kernel=config.trl.liger,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # it would write the mean in the place of what is not a number
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=_KEPT,
        eval_strategy="steps" if config.held_out else "no",
        eval_steps=config.evaluate_every or max(steps // _TIMES, 1),
        eval_on_start=bool(config.held_out),
        prediction_loss_only=True,
        report_to=config.report,
        disable_tqdm=True,
        dataloader_pin_memory=not device.is_cpu,
        max_length=None,  # nothing is cut
        packing=False,  # it is packed already, if at all
        padding_free=config.packing,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return on_one_gpu(arguments)


def on_one_gpu(arguments: Any) -> Any:
    """The first, however many are in sight: transformers would put the model on all of them by
    `nn.DataParallel`, which TRL refuses once the weights are loaded."""
    arguments._n_gpu = min(arguments.n_gpu, 1)  # read first, since reading counts them
    return arguments


def _open(file: Path) -> Any:
    """The file, mapped into memory. Raises `TrainError` if it is damaged."""
    from datasets import Dataset

    told = f"the rows in {file} are damaged, remove {file.parent} and give the same command again"
    with boundary(TrainError, told, OSError, ValueError):
        return Dataset.from_file(str(file))
