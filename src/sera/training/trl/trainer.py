"""The embedded trainer: TRL's `SFTTrainer`, fed with token ids and labels.

TRL prepares nothing: rows come encoded and masked, and before the first step what its loader yields is
compared with the dataset, rendered again, token by token. Its loss looks only at trained positions, tile by
tile, so that no row's logits exist at once.

A state is saved every so many steps, and when somebody asks to stop; a file `whole` is its last. What a
kill has left without that file is thrown away, and the last whole state is gone on from.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from sera.errors import TrainError, UsageError, boundary
from sera.training.contract import Bytes, Job, Plan, Progress
from sera.training.folder import STATE, TOKENS, Metrics
from sera.training.forecast import accumulation, find_device
from sera.training.rows import write_rows
from sera.training.trl.loading import load_model, peft_config, tokenizer_for
from sera.training.trl.proof import refuse_leaks, refuse_other_rows

WHOLE = "whole"
_KEPT = 2
_TIMES = 5


class TrlTrainer:
    """See the module."""

    name = "trl"
    most_devices = 1

    def bytes_of(self, job: Job) -> Bytes:
        """All weights are trained in 32 bits; the frozen ones of an adapter are held in 16, or 4."""
        config = job.config
        on_cpu, lora = find_device(config).is_cpu, config.lora
        if lora:
            held = 0.6 if lora.quantized else 2.0
            return Bytes(weight=held, gradient=4.0, optimizer=8.0, activation=2.0)
        half = config.precision == "bf16" and not on_cpu
        # Beside the weights there is the copy in 16 bits that they are computed with.
        return Bytes(
            weight=6.0 if half else 4.0, gradient=4.0, optimizer=8.0, activation=2.0 if half else 4.0
        )

    def train(self, job: Job, plan: Plan, out: Path, progress: Progress) -> Path:
        """Train in this process; the folder has a whole model, or an adapter."""
        done = out / STATE / "trained"
        if (done / WHOLE).exists():
            return done
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(out / "tensorboard"))
        with boundary(UsageError, 'training needs libraries, pip install "sera[train]"', ImportError):
            _quiet()
            import torch
            from trl import SFTTrainer

            from sera.training.trl.watching import Watch, stopping
        files = write_rows(job, out / TOKENS)
        state = _last_state(out / STATE)
        step = int(state.name.partition("-")[2]) if state else 0
        tokenizer = tokenizer_for(job)
        model = load_model(job)
        if job.config.packing:
            refuse_leaks(model)
        watch = Watch(Metrics(out, step), progress)
        with boundary(TrainError, "the trainer refuses its settings", ValueError, ImportError, RuntimeError):
            trainer = SFTTrainer(
                model=model,
                args=_arguments(job, plan, out / STATE),
                train_dataset=_open(files.train),
                eval_dataset=_open(files.held_out) if files.held_out else None,
                processing_class=tokenizer,
                peft_config=peft_config(job, model),
                callbacks=[watch],
            )
        _tell_nothing(trainer)
        refuse_other_rows(trainer, job)
        progress.begin(plan, step)
        with boundary(TrainError, "training failed", RuntimeError, OSError), stopping(watch):
            trainer.train(resume_from_checkpoint=str(state) if state else None)
        watch.refuse_unfinished(plan.steps)
        if files.held_out and watch.measured_at != trainer.state.global_step:
            trainer.evaluate()
        with boundary(TrainError, f"the weights cannot be saved in {done}", OSError, RuntimeError, Exception):
            shutil.rmtree(done, ignore_errors=True)
            trainer.save_model(str(done))
            (done / WHOLE).touch()
        for old in (out / STATE).glob("checkpoint-*"):
            shutil.rmtree(old)
        del trainer, model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return done


def _arguments(job: Job, plan: Plan, out: Path) -> Any:
    from trl import SFTConfig

    config, device = job.config, find_device(job.config)
    half = config.precision == "bf16" and not device.is_cpu
    return SFTConfig(
        output_dir=str(out),
        per_device_train_batch_size=config.micro_batch,
        per_device_eval_batch_size=config.micro_batch,
        gradient_accumulation_steps=accumulation(config, device.number),
        learning_rate=config.rate,
        weight_decay=config.weight_decay,
        adam_beta1=config.beta1,
        adam_beta2=config.beta2,
        max_grad_norm=config.max_grad_norm,
        max_steps=plan.steps,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_steps,
        bf16=half,
        use_cpu=device.is_cpu,
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        activation_offloading=config.activation_offload,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # it would write the mean in the place of what is not a number
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=_KEPT,
        eval_strategy="steps" if config.held_out else "no",
        eval_steps=config.evaluate_every or max(plan.steps // _TIMES, 1),
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


def _open(file: Path) -> Any:
    """The file, mapped into memory."""
    from datasets import Dataset

    return Dataset.from_file(str(file))


def _last_state(folder: Path) -> Path | None:
    """The newest whole state; others are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    for path in found:
        if not (path / WHOLE).exists():
            shutil.rmtree(path)
    return next((path for path in reversed(found) if path.exists()), None)


def _quiet() -> None:
    """No bars, no notes and no telemetry of libraries; what matters is told by `progress`."""
    for name, value in (("HF_HUB_DISABLE_TELEMETRY", "1"), ("TRL_EXPERIMENTAL_SILENCE", "1")):
        os.environ.setdefault(name, value)
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="torch|trl|peft|transformers")


def _tell_nothing(trainer: Any) -> None:
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
