"""The sides of `training.py`: sera's TRL path and the plain `Trainer`, on one model of random weights and the
same random rows; each gives the seconds of its steps."""

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sera.models.shapes import Shape
from sera.training import TrainConfig, forecast
from sera.training.rows import Encoded, Files, write_arrow


def write_random_rows(folder: Path, shape: Shape, tokens: int, number: int) -> Path:
    chance = random.Random(0)
    rows = [[chance.randrange(shape.vocabulary) for _ in range(tokens)] for _ in range(number)]
    write_arrow(folder / "rows.arrow", [[Encoded(row, row)] for row in rows])
    return folder / "rows.arrow"


def random_model(shape: Shape, device: str, **options: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    told = AutoConfig.for_model(
        shape.architecture,
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        intermediate_size=shape.width,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocabulary,
        max_position_embeddings=shape.context,
        tie_word_embeddings=shape.tied,
        use_cache=False,
    )
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(told, **options)


def place(config: TrainConfig) -> str:
    return "cpu" if forecast.find_device(config).is_cpu else "cuda"


def train_sera(shape: Shape, config: TrainConfig, rows: Path, steps: int) -> list[float]:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    from sera.training.trl.building import attention, make_trainer
    from sera.training.trl.loading import model_options, peft_config, quiet

    quiet()
    model = random_model(shape, place(config), **model_options(config))
    words = Tokenizer(WordLevel({"pad": 0, "end": 1}, unk_token="pad"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="pad", eos_token="end")
    adapter, clock = peft_config(config, "it", model), make_clock(place(config))
    trainer = make_trainer(
        config, model, adapter, tokenizer, steps, Files(rows, None), rows.parent / "state", [clock]
    )
    with attention(config):
        trainer.train()
    return list(clock.seconds)


def train_plain(
    shape: Shape, config: TrainConfig, rows: Path, steps: int, liger: bool = False
) -> list[float]:
    """As somebody does who knows transformers, and nothing else; or Liger too."""
    import torch
    from transformers import Trainer, TrainingArguments, default_data_collator

    from datasets import Dataset
    from sera.training.trl.building import OPTIMIZERS, on_one_gpu
    from sera.training.trl.loading import quiet

    quiet()
    on_cpu = place(config) == "cpu"
    kind = torch.bfloat16 if config.trl.weights == "bf16" else torch.float32
    optimizer, how = OPTIMIZERS[config.trl.optimizer]
    clock = make_clock(place(config))
    arguments = TrainingArguments(
        output_dir=str(rows.parent / "state"),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=config.batch,
        max_steps=steps,
        learning_rate=config.rate,
        optim=optimizer,
        optim_args=how,
        bf16=not on_cpu,
        use_cpu=on_cpu,
        gradient_checkpointing=True,
        use_liger_kernel=liger,
        report_to="none",
        disable_tqdm=True,
    )
    data = Dataset.from_file(str(rows)).remove_columns("seq_lengths")
    Trainer(
        model=random_model(shape, place(config), dtype=kind),
        args=on_one_gpu(arguments),
        train_dataset=data,
        data_collator=default_data_collator,
        callbacks=[clock],
    ).train()
    return list(clock.seconds)


LIGER = "Trainer+Liger"
SIDES: dict[str, Callable[[Shape, TrainConfig, Path, int], list[float]]] = {
    "Trainer": train_plain,
    LIGER: partial(train_plain, liger=True),
    "sera": train_sera,
}


def make_clock(device: str) -> Any:
    """A callback that takes the time of steps, and keeps the last one from being saved."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]  # of a library without types
        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._begun = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self._begun = self._now()

        def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
            self.seconds.append(self._now() - self._begun)
            control.should_save = False

        def _now(self) -> float:
            if device == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter()

    return Clock()
