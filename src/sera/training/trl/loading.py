"""The student's weights in memory, fit to be trained, and its tokenizer as the trainer wants it."""

import os
import warnings
from typing import Any

from sera.errors import ModelError, TrainError, UsageError, boundary
from sera.models.weights import Kind
from sera.training.config import TrainConfig
from sera.training.contract import Job
from sera.training.forecast import find_device
from sera.training.student import StudentModel

FLASH = "flash_attention_2"


def quiet() -> None:
    """No bars, no notes and no telemetry of libraries; what matters is told by `progress`."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "TRL_EXPERIMENTAL_SILENCE", "TQDM_DISABLE"):
        os.environ.setdefault(name, "1")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="torch|trl|peft|transformers")


def load_model(job: Job) -> Any:
    """The model, on the device that trains it. Raises `ModelError` if it cannot be loaded."""
    model = load_whole(job.student, **model_options(job.config))
    model.config.use_cache = False
    if find_device(job.config).is_cpu or getattr(model, "is_quantized", False):
        return model
    # Something else may be on the GPU: what was forecast is all of its memory.
    with boundary(ModelError, f"the model {job.student.name} does not fit on the GPU", RuntimeError):
        return model.to("cuda")


def model_options(config: TrainConfig) -> dict[str, Any]:
    """How weights are held and attention is computed, in transformers' words."""
    import torch

    options: dict[str, Any] = {"dtype": torch.bfloat16 if config.in_sixteen else torch.float32}
    if config.lora and config.lora.quantized:
        options["quantization_config"] = _four_bits()
    if config.trl.attention == FLASH or (config.packing and not find_device(config).is_cpu):
        options["attn_implementation"] = FLASH
    return options


def load_whole(student: StudentModel, **options: Any) -> Any:
    """The student's own weights, in 32 bits unless `options` say otherwise. Raises `ModelError`."""
    import torch
    from transformers import AutoModelForCausalLM

    weights = student.weights
    if weights.kind is Kind.GGUF:
        options = _from_gguf(weights.path.name) | options
    folder = weights.path.parent if weights.kind is Kind.GGUF else weights.path
    # What the library raises for broken weights is of many kinds.
    with boundary(ModelError, f"the weights of {student.name} cannot be loaded", Exception):
        return AutoModelForCausalLM.from_pretrained(
            folder, **{"dtype": torch.float32, "local_files_only": True, **options}
        )


def tokenizer_for(job: Job) -> Any:
    """Only its padding and its end are used: rows come as ids."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_file=job.student.tokenizer, pad_token=job.reading.pad, eos_token=job.reading.end
    )


def peft_config(config: TrainConfig, student: str, model: Any) -> Any:
    """The adapter, or None. Raises `TrainError` if a target is the name of no layer."""
    lora = config.lora
    if lora is None:
        return None
    with boundary(UsageError, 'adapters need a library: pip install "sera[train]"', ImportError):
        from peft import LoraConfig
    layers = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if missing := [target for target in lora.targets if target not in layers]:
        linear = sorted(name for name in layers if name.endswith("_proj"))
        raise TrainError(
            f"lora.targets names {', '.join(missing)}, which {student} has not: it has {', '.join(linear)}"
        )
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        task_type="CAUSAL_LM",
    )


def _from_gguf(file: str) -> dict[str, Any]:
    """Without `dequantize` the model could be neither trained nor saved."""
    from transformers import GgufConfig

    return {"gguf_file": file, "quantization_config": GgufConfig(dequantize=True)}


def _four_bits() -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
