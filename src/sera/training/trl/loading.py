"""The student's weights in memory, fit to be trained, and its tokenizer as the trainer wants it."""

from typing import Any

from sera.errors import ModelError, TrainError, UsageError, boundary
from sera.models.weights import Kind
from sera.training.contract import Job
from sera.training.forecast import find_device
from sera.training.student import StudentModel


def load_model(job: Job) -> Any:
    """The model, in 32 bits if all of it is trained. Raises `ModelError` if it cannot be loaded."""
    import torch

    config = job.config
    half = config.lora is not None and config.precision == "bf16"
    options: dict[str, Any] = {"dtype": torch.bfloat16 if half else torch.float32}
    if config.lora and config.lora.quantized:
        options["quantization_config"] = _four_bits(job)
    if config.packing and not find_device(config).is_cpu:
        options["attn_implementation"] = "flash_attention_2"
    model = load_whole(job.student, **options)
    model.config.use_cache = False
    return model


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


def peft_config(job: Job, model: Any) -> Any:
    """The adapter, or None. Raises `TrainError` if a target is the name of no layer."""
    lora = job.config.lora
    if lora is None:
        return None
    with boundary(UsageError, 'adapters need a library: pip install "sera[train]"', ImportError):
        from peft import LoraConfig
    layers = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if missing := [target for target in lora.targets if target not in layers]:
        linear = sorted(name for name in layers if name.endswith("_proj"))
        raise TrainError(
            f"lora.targets names {', '.join(missing)}, which {job.student.name} has not: it has "
            f"{', '.join(linear)}"
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


def _four_bits(job: Job) -> Any:
    if find_device(job.config).is_cpu:
        raise TrainError(
            "lora.quantized needs a GPU: set it to false, a processor holds the weights in 16 bits"
        )
    with boundary(UsageError, "lora.quantized needs a library: pip install bitsandbytes", ImportError):
        import bitsandbytes  # noqa: F401
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
