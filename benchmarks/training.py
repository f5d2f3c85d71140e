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
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median

import msgspec
from training_part import SHAPES, Measured, measure
from training_sides import SIDES


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
