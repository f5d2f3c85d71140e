"""Axolotl's configuration of a training: every value said, none left to a default that a version may change.

Warm-up is in steps, rows longer than the sequence are an error and not dropped or cut, and the template is
the very text that the dataset was proven with. Rows carry their mask (`train`), so that what is trained is
not Axolotl's to decide. Paths are those of the folder's own files, relative to it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sera.errors import TrainError
from sera.models.weights import Kind
from sera.training.contract import Job, Plan
from sera.training.forecast import accumulation, find_device

CONFIG = "axolotl.yaml"
DEEPSPEED = "deepspeed.json"
ROWS = "train.jsonl"
HELD_OUT = "held_out.jsonl"
OUTPUT = "output"
PREPARED = "prepared"
TOKENIZER = "tokenizer"
_CUT = "axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin"
_LIGER = "axolotl.integrations.liger.LigerPlugin"
Tree = dict[str, Any]


def axolotl_settings(job: Job, plan: Plan) -> Tree:
    """The whole configuration. Raises `TrainError` if the student cannot be given to Axolotl."""
    config, cpu = job.config, find_device(job.config).is_cpu
    return {
        "base_model": _base_model(job),
        "tokenizer_config": f"./{TOKENIZER}",
        "trust_remote_code": False,
        "output_dir": f"./{OUTPUT}",
        "dataset_prepared_path": f"./{PREPARED}",
        **_data(job),
        "sequence_len": config.sequence,
        "excess_length_strategy": "raise",
        "sample_packing": config.packing,
        "eval_sample_packing": False,
        "pad_to_sequence_len": False,
        "train_on_inputs": False,
        "special_tokens": {"pad_token": job.reading.pad, "eos_token": job.reading.end},
        "eot_tokens": [job.reading.end],
        "micro_batch_size": config.micro_batch,
        "gradient_accumulation_steps": accumulation(config, find_device(config).number),
        "max_steps": plan.steps,
        "num_epochs": config.epochs,
        "optimizer": "adamw_torch" if cpu else "adamw_torch_fused",
        "adam_beta1": config.beta1,
        "adam_beta2": config.beta2,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "learning_rate": config.rate,
        "lr_scheduler": "cosine",
        "warmup_steps": config.warmup_steps,
        "bf16": config.precision == "bf16" and not cpu,
        "fp16": False,
        "tf32": not cpu,
        "attn_implementation": "sdpa" if cpu else "flash_attention_2",
        "gradient_checkpointing": config.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "activation_offloading": config.activation_offload,
        **(_adapter(job) if config.lora else {}),
        **({} if cpu else _loss(job)),
        **({"deepspeed": f"./{DEEPSPEED}"} if config.zero else {}),
        "seed": config.seed,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": config.save_every,
        "save_total_limit": 2,
        "save_only_model": False,
        "auto_resume_from_checkpoints": True,
        "use_wandb": False,
        "use_tensorboard": config.report == "tensorboard",
    }


def _base_model(job: Job) -> str:
    student = job.student
    if student.weights.kind is Kind.GGUF:
        raise TrainError(
            f"{student.name} is a GGUF, which Axolotl cannot train: use --trainer trl, or a folder"
        )
    return str(Path(student.asked).absolute()) if Path(student.asked).exists() else student.asked


def _data(job: Job) -> Tree:
    rows = {
        "ds_type": "json",
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
        "roles": {"system": ["system"], "user": ["user"], "assistant": ["assistant"]},
        "roles_to_train": ["assistant"],
        "message_field_training": "train",
        "train_on_eos": "turn",
    }
    found: Tree = {
        "chat_template": "jinja",
        "chat_template_jinja": job.reading.template.source,
        "datasets": [{"path": f"./{ROWS}", **rows}],
    }
    if not job.config.held_out:
        return found | {"val_set_size": 0.0}
    held_out = {"path": f"./{HELD_OUT}", "split": "train", **rows}
    every = job.config.evaluate_every
    return found | {
        "test_datasets": [held_out],
        "eval_strategy": "steps",
        "eval_steps": every or 0.2,
        "eval_batch_size": job.config.micro_batch,
    }


def _adapter(job: Job) -> Tree:
    lora = job.config.lora
    assert lora
    return {
        "adapter": "qlora" if lora.quantized else "lora",
        "load_in_4bit": lora.quantized,
        "lora_r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "lora_target_modules": list(lora.targets),
    }


def _loss(job: Job) -> Tree:
    """A loss that never holds the logits of a whole row."""
    if job.config.axolotl.cut_cross_entropy:
        return {"plugins": [_CUT], "cut_cross_entropy": True}
    return {"plugins": [_LIGER], "liger_fused_linear_cross_entropy": True}


def deepspeed_settings(stage: int) -> Tree:
    """DeepSpeed's own file: in 16 bits with a master copy in 32, and what the stage spreads over the GPUs."""
    spread: Tree = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}
    if stage == 3:
        spread |= {
            "reduce_bucket_size": "auto",
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    return {
        "zero_optimization": spread,
        "bf16": {"enabled": True},
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "wall_clock_breakdown": False,
    }


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Plain trees as YAML; values are written as JSON, which YAML contains."""
    return "".join(f"{line}\n" for line in _lines(tree, 0))


def _lines(tree: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key, value in tree.items():
        space = "  " * depth
        if isinstance(value, dict) and value:
            yield f"{space}{key}:"
            yield from _lines(value, depth + 1)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{space}{key}:"
            for item in value:
                first, *rest = _lines(item, depth + 2)
                yield f"{space}  - {first.lstrip()}"
                yield from rest
        else:
            yield f"{space}{key}: {_plain(value)}"


def _plain(value: Any) -> str:
    """A value. Small numbers are written without an exponent: YAML reads `1e-05` as text."""
    if isinstance(value, float) and 0 < value < 1:
        return f"{value:.12f}".rstrip("0")
    return json.dumps(value, ensure_ascii=False)
