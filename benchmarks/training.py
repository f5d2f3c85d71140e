"""Speed of training on one device: sera's TRL path beside the plain `Trainer` of transformers, in one run.

    python benchmarks/training.py                                            Qwen3 on the GPU of this machine
    python benchmarks/training.py --shape qwen3-4b --tokens 32768            one row of the table
    python benchmarks/training.py --shape tiny --tokens 256 --device cpu     to see that it works

Students have the shapes of published ones and random weights. Rows are random tokens of one length, all of
them in the loss; a step is `--step-tokens` of them, one row at a time. Every measurement is a process of its
own, so that memory is clean. The two sides take turns, and the median step of all rounds counts, without the
first two of each.

    model FLOPs of a token   6 · parameters of the layers and the head
                             + 6 · layers · heads · head size · length, for attention with a causal mask
    MFU                      model FLOPs / seconds / peak of the GPU in bf16; recomputation does not count

Both sides train all weights with gradient checkpointing, in bf16 on a GPU, and hold them alike: the first way
of `HELD` that the forecast says will fit, or the last. Beyond that the baseline is what transformers does by
itself, and sera has the settings that docs/training.md names for one GPU, or those of `--set`. What fails
stays in the table. With `--results FILE` the same command goes on where it was ended, and the table has all
that is in the file. 8-bit AdamW needs torchao; Liger's kernels are used if liger-kernel is there.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from sera.errors import SeraError
from sera.settings import load_config
from sera.training import TrainConfig, forecast
from sera.training.rows import Encoded, Files, write_arrow
from sera.training.student import Shape
from sera.training.trainers import find_trainer

WARM_UP = 2
FEWER = {"trl.optimizer": "adamw_8bit", "trl.weights": "bf16"}
HELD: list[dict[str, object]] = [{}, {"trl.optimizer": "adamw_8bit"}, FEWER]
"""From what learns best to what takes the least room."""
OFFLOAD = {**FEWER, "activation_offload": True}
"""The last resort of a GPU."""


def qwen3(layers: int, hidden: int, width: int, heads: int, **other: Any) -> Shape:
    told = {"kv_heads": 8, "head_dim": 128, "vocabulary": 151_936, "context": 1 << 20, "tied": True, **other}
    return Shape(architecture="qwen3", layers=layers, hidden=hidden, width=width, heads=heads, **told)


SHAPES = {
    "qwen3-0.6b": qwen3(28, 1024, 3072, 16),
    "qwen3-1.7b": qwen3(28, 2048, 6144, 16),
    "qwen3-4b": qwen3(36, 2560, 9728, 32),
    "qwen3-8b": qwen3(36, 4096, 12_288, 32, tied=False),
    "smollm2-135m": Shape(
        architecture="llama", layers=30, hidden=576, width=1536, heads=9, kv_heads=3, head_dim=64,
        vocabulary=49_152, context=1 << 20, tied=True,
    ),
    "tiny": qwen3(2, 64, 128, 4, kv_heads=2, head_dim=16, vocabulary=512),
}  # fmt: skip


class Measured(msgspec.Struct, kw_only=True):
    """The steps of one process."""

    shape: str
    tokens: int
    side: str
    round: int
    held: str = ""
    settings: tuple[str, ...] = ()
    device: str = ""
    peak_flops: float = 0.0
    """Of the device; 0 if nobody says it."""
    flops: float = 0.0
    """Of the model, in a step."""
    step_tokens: int = 0
    seconds: list[float] = []
    peak_gb: float = 0.0
    forecast_gb: float = 0.0
    failed: str = ""

    @property
    def about(self) -> tuple[str, int, str, int]:
        """What it is of."""
        return self.shape, self.tokens, self.side, self.round


# ── one measurement, in the process that was started for it ──────────────────────────────────────────


def measure(options: argparse.Namespace) -> Measured:
    import torch

    name, tokens, side = options.shape[0], options.tokens[0], options.side[0]
    shape = SHAPES[name]
    config = settings_of(shape, tokens, options)
    device = forecast.find_device(config)
    found = Measured(
        shape=name,
        tokens=tokens,
        side=side,
        round=options.round,
        held=held_in(config),
        settings=tuple(speed_of(options)) if side == "sera" else (),
        device=device.name if device.is_cpu else torch.cuda.get_device_name(),
        peak_flops=0.0 if device.is_cpu else device.flops,
        flops=forecast.arithmetic(shape, [tokens] * config.batch, adapter=config.lora is not None),
        step_tokens=config.batch * tokens,
        forecast_gb=needs(shape, config, tokens).needs_gb,
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = write_random_rows(Path(folder), shape, tokens, config.batch)
        try:
            found.seconds = SIDES[side](shape, config, rows, options.steps + WARM_UP)[WARM_UP:]
        except torch.OutOfMemoryError:
            found.failed = "out of memory"
        except SeraError as refused:
            found.failed = str(refused)
    found.peak_gb = peak_gb(on_cpu=device.is_cpu)
    return found


def needs(shape: Shape, config: TrainConfig, tokens: int) -> Any:
    cost = find_trainer("trl").bytes_of(config)
    return forecast.memory(shape, config, forecast.find_device(config), cost, tokens)


def settings_of(shape: Shape, tokens: int, options: argparse.Namespace) -> TrainConfig:
    """sera's settings, with the first way to hold weights that fits."""
    given = {
        "device.gpu": options.device,
        "batch": max(options.step_tokens // tokens, 1),
        "sequence": tokens,
        "warmup_steps": 1,
    }
    held = HELD if options.device == "cpu" else [*HELD, OFFLOAD]
    ways = [load_config(TrainConfig, None, speed_of(options), given | more) for more in held]
    memory = [needs(shape, config, tokens) for config in ways]
    fits = (config for config, told in zip(ways, memory, strict=True) if told.needs_gb <= told.has_gb)
    return next(fits, ways[-1])


def held_in(config: TrainConfig) -> str:
    """How weights are held, in words."""
    bits = "16" if config.trl.weights == "bf16" else "32"
    states = " in 8" if config.trl.optimizer == "adamw_8bit" else ""
    return f"{bits} bits, AdamW{states}{', offload' if config.activation_offload else ''}"


def speed_of(options: argparse.Namespace) -> list[str]:
    """What sera is told beyond how weights are held."""
    if options.set:
        return list(options.set)
    if options.device == "cpu":
        return ["trl.keep_attention=true"]
    liger = ["trl.liger=true"] if find_spec("liger_kernel") else []
    return ["trl.keep_attention=true", "trl.attention=cudnn", *liger]


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

    from sera.training.trl.building import attention, make_trainer, refuse_missing
    from sera.training.trl.loading import model_options, peft_config, quiet

    quiet()
    refuse_missing(config)
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


def train_plain(shape: Shape, config: TrainConfig, rows: Path, steps: int) -> list[float]:
    """As somebody does who knows transformers, and nothing else."""
    import torch
    from transformers import Trainer, TrainingArguments, default_data_collator

    from datasets import Dataset
    from sera.training.trl.building import OPTIMIZERS, refuse_missing
    from sera.training.trl.loading import quiet

    quiet()
    refuse_missing(config)
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
        report_to="none",
        disable_tqdm=True,
    )
    data = Dataset.from_file(str(rows)).remove_columns("seq_lengths")
    Trainer(
        model=random_model(shape, place(config), dtype=kind),
        args=arguments,
        train_dataset=data,
        data_collator=default_data_collator,
        callbacks=[clock],
    ).train()
    return list(clock.seconds)


SIDES: dict[str, Callable[[Shape, TrainConfig, Path, int], list[float]]] = {
    "Trainer": train_plain,
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


def peak_gb(on_cpu: bool) -> float:
    """Of a GPU, what its blocks took; of a processor, what the process did."""
    import torch

    if on_cpu:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return torch.cuda.max_memory_allocated() / 1e9


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────


def start(shape: str, tokens: int, side: str, number: int, options: argparse.Namespace) -> Measured:
    """A measurement in a process of its own; whatever becomes of it is a result."""
    words = ["--part", "--shape", shape, "--tokens", tokens, "--side", side, "--round", number]
    words += ["--device", options.device, "--steps", options.steps, "--step-tokens", options.step_tokens]
    words += [word for pair in options.set for word in ("--set", pair)]
    environment = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", **os.environ}
    command = [sys.executable, __file__, *map(str, words)]
    failed = Measured(shape=shape, tokens=tokens, side=side, round=number)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=options.limit, check=False
        )
    except subprocess.TimeoutExpired:
        failed.failed = f"not through in {options.limit:g} s"
        return failed
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        failed.failed = f"ended with {done.returncode}: {' '.join(last)[:200]}"
        return failed
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Measured)


def measure_all(options: argparse.Namespace) -> list[Measured]:
    """In turns; what the file of results has already is not done again."""
    found = list(read(options.results))
    for number, shape, tokens in product(range(options.rounds), options.shape, options.tokens):
        for side in options.side[:: -1 if number % 2 else 1]:
            if any(one.about == (shape, tokens, side, number) for one in found):
                continue
            one = start(shape, tokens, side, number, options)
            found.append(one)
            told = (
                one.failed or f"{one.step_tokens / median(one.seconds):,.0f} tokens/s, {one.peak_gb:.1f} GB"
            )
            print(f"{shape} at {tokens:,}, {side}, round {number + 1}: {told}", file=sys.stderr, flush=True)
            if options.results:
                with options.results.open("ab") as file:
                    file.write(msgspec.json.encode(one) + b"\n")
    return found


def read(file: Path | None) -> Iterator[Measured]:
    if file and file.is_file():
        for line in file.read_bytes().splitlines():
            yield msgspec.json.decode(line, type=Measured)


def table(found: list[Measured]) -> Iterator[str]:
    """As Markdown."""
    devices = sorted({one.device for one in found if one.device})
    told = sorted({" ".join(one.settings) for one in found if one.settings})
    yield f"On {', '.join(devices)}; sera with {' or '.join(told)}\n"
    heads = ["shape", "tokens", "weights", "Trainer: tokens/s", "MFU", "GB", "sera: tokens/s", "MFU", "GB"]
    yield f"| {' | '.join([*heads, 'GB foretold', 'faster'])} |"
    yield "|---" * 11 + "|"
    for shape, tokens in dict.fromkeys((one.shape, one.tokens) for one in found):
        sides = {
            side: [one for one in found if one.about[:3] == (shape, tokens, side)]
            for side in ("Trainer", "sera")
        }
        every = [one for group in sides.values() for one in group]
        held = next((one.held for one in every if one.held), "–")
        rates = {side: rate(group) for side, group in sides.items()}
        faster = f"{rates['sera'] / rates['Trainer']:.2f}×" if all(rates.values()) else "–"
        needed = max((one.forecast_gb for one in sides["sera"]), default=0.0)
        cells = [cell for group in sides.values() for cell in cells_of(group)]
        yield f"| {shape} | {tokens:,} | {held} | {' | '.join(cells)} | {needed:.1f} | {faster} |"


def rate(group: list[Measured]) -> float:
    """Tokens a second; 0 if there was no step."""
    seconds = [second for one in group for second in one.seconds]
    return group[0].step_tokens / median(seconds) if seconds and not any(one.failed for one in group) else 0.0


def cells_of(group: list[Measured]) -> tuple[str, str, str]:
    if not group:
        return "–", "–", "–"
    memory = f"{max(one.peak_gb for one in group):.1f}"
    if not (speed := rate(group)):
        return next(one.failed for one in group if one.failed), "–", memory
    one = group[0]
    share = f"{one.flops / one.step_tokens * speed / one.peak_flops:.1%}" if one.peak_flops else "–"
    return f"{speed:,.0f}", share, memory


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    large = [name for name in SHAPES if name.startswith("qwen3")]
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=large)
    parser.add_argument("--tokens", nargs="+", type=int, default=[4096, 32_768])
    parser.add_argument("--side", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--device", default="", help="cpu, or a kind of GPU; what is here")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in sera train")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="that count, of a round")
    parser.add_argument("--step-tokens", type=int, default=32_768)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of a measurement")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--json", action="store_true", help="all measurements instead of the table")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--round", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if "Trainer" in options.side and any(pair.startswith("lora") for pair in options.set):
        parser.error("the baseline trains all weights: an adapter is measured with --side sera alone")
    if options.part:
        print(msgspec.json.encode(measure(options)).decode())
        return
    found = measure_all(options)
    print(json.dumps(msgspec.to_builtins(found)) if options.json else "\n".join(table(found)))


if __name__ == "__main__":
    main()
