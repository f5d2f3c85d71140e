"""Speed of training on one device: sera's TRL path beside the plain `Trainer` of transformers, in one run.

    python benchmarks/training.py                                            Qwen3 on the GPU of this machine
    python benchmarks/training.py --shape qwen3-4b --tokens 32768            one part of the table
    python benchmarks/training.py --shape tiny --tokens 256 --device cpu     to see that it works

Students have the shapes of published ones and random weights. Rows are random tokens of one length, all of
them in the loss; a step is `--step-tokens` of them, one row at a time. Every measurement is a process of its
own, so that memory is clean. The sides take turns, and the median step of all rounds counts, without the
first two of each.

    model FLOPs of a token   6 · parameters of the layers and the head
                             + 6 · layers · heads · head size · length, for attention with a causal mask
    MFU                      model FLOPs / seconds / peak of the GPU in bf16; recomputation does not count

All sides train all weights with gradient checkpointing, in bf16 on a GPU, and hold them alike: the first way
of `HELD` that the forecast says will fit, or the last. Beyond that the baseline, `Trainer`, is what
transformers does by itself. It makes all logits of a row at once, some 60 GB at 32,768 tokens, so that there
is `Trainer+Liger`, the same with `use_liger_kernel=True`, which does not. sera has the settings that
docs/training.md names for one GPU, or those of `--set`.

What fails stays in the table. With `--results FILE` the same command goes on where it was ended: what is in
the file is not measured again, unless it failed for another reason than memory or time, or its line is taken
out. The table has all that is in the file, other `--set` as lines of their own. A GPU needs a C compiler and
Python's headers, 8-bit AdamW torchao, and Liger's kernels are used if liger-kernel is there.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median

import msgspec
from training_part import LATE, SHAPES, About, Measured, measure, refuse_wrong, said
from training_sides import LIGER, SIDES

from sera.errors import SeraError

_ERROR = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b")


def start(about: About, options: argparse.Namespace) -> Measured:
    """A measurement in a process of its own; whatever becomes of it is a result."""
    words = ["--part", "--shape", about.shape, "--tokens", about.tokens, "--side", about.side]
    words += ["--round", about.round, "--device", options.device, "--steps", options.steps]
    words += ["--step-tokens", options.step_tokens]
    words += [word for pair in about.asked for word in ("--set", pair)]
    environment = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", **os.environ}
    command = [sys.executable, __file__, *map(str, words)]
    failed = Measured(**about._asdict())
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=options.limit, check=False
        )
    except subprocess.TimeoutExpired:
        failed.failed = f"{LATE} {options.limit:g} s"
        return failed
    if done.returncode:
        failed.failed = f"ended with {done.returncode}: {said(last_words(done.stderr))}"
        return failed
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Measured)


def last_words(stderr: str) -> str:
    """The last line that names an error, since torch says more after it; else the last."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if _ERROR.match(line)), lines[-1] if lines else "")


def measure_all(options: argparse.Namespace) -> list[Measured]:
    """In turns; what the file of results has already is not done again, nor a side that fails."""
    found = list(read(options.results))
    wanted = [about for about in every(options) if not is_done(about, found)]
    if wanted:
        check()
    for about in wanted:
        if is_done(about, found):
            continue
        one = start(about, options)
        found.append(one)
        told = one.failed or f"{one.step_tokens / median(one.seconds):,.0f} tokens/s, {one.peak_gb:.1f} GB"
        line = f"{one.shape} at {one.tokens:,}, {one.side}, round {one.round + 1}: {told}"
        print(line, file=sys.stderr, flush=True)
        if options.results:
            with options.results.open("ab") as file:
                file.write(msgspec.json.encode(one) + b"\n")
    return found


def every(options: argparse.Namespace) -> Iterator[About]:
    """All that is asked for, the sides in turns."""
    for number, shape, tokens in product(range(options.rounds), options.shape, options.tokens):
        for side in options.side[:: -1 if number % 2 else 1]:
            yield About(shape, tokens, side, tuple(options.set), number)


def is_done(about: About, found: list[Measured]) -> bool:
    """Whether it was measured, or failed in an earlier round already."""
    return any(one.about == about or (one.failed and one.about[:-1] == about[:-1]) for one in found)


def check() -> None:
    """Ends the process if a measurement could not be made. Asked in another one: this one leaves the GPU
    alone."""
    asked = subprocess.run([sys.executable, __file__, "--check", *sys.argv[1:]], check=False)
    if asked.returncode:
        sys.exit(asked.returncode)


def read(file: Path | None) -> Iterator[Measured]:
    """What is in the file and need not be measured again."""
    if file and file.is_file():
        measured = (msgspec.json.decode(line, type=Measured) for line in file.read_bytes().splitlines())
        yield from (one for one in measured if one.stands)


def table(found: list[Measured]) -> Iterator[str]:
    """As Markdown."""
    devices = {one.device: f" ({one.peak_flops / 1e12:g} TFLOP/s)" if one.peak_flops else "" for one in found}
    if named := [f"{name}{peak}" for name, peak in sorted(devices.items()) if name]:
        yield f"On {', '.join(named)}\n"
    heads = ("shape", "tokens", "weights", "side", "tokens/s", "MFU", "GB", "GB foretold", "sera is")
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    groups = {about: [one for one in found if one.about[:-1] == about] for about in order(found)}
    for (shape, tokens, side, asked), group in groups.items():
        held = next((one.held for one in group if one.held), "–")
        settings = next((one.settings for one in group if one.settings), asked if side == "sera" else ())
        name = f"{side}: {' '.join(settings)}" if settings else side
        ours = rate(groups.get((shape, tokens, "sera", asked), []))
        faster = f"{ours / theirs:.2f}×" if side != "sera" and ours and (theirs := rate(group)) else "–"
        needed = max(one.forecast_gb for one in group) if side == "sera" else 0.0
        last = f"{f'{needed:.1f}' if needed else '–'} | {faster}"
        yield f"| {shape} | {tokens:,} | {held} | {name} | {' | '.join(cells_of(group))} | {last} |"


def order(found: list[Measured]) -> list[tuple[str, int, str, tuple[str, ...]]]:
    """What each line is of: those to be compared stand together, sera last."""
    places = {key: n for n, key in enumerate(dict.fromkeys((one.shape, one.tokens) for one in found))}
    sides = list(SIDES)
    lines = dict.fromkeys(one.about[:-1] for one in found)
    return sorted(lines, key=lambda line: (places[line[:2]], line[3], sides.index(line[2])))


def rate(group: list[Measured]) -> float:
    """Tokens a second; 0 if there was no step."""
    seconds = [second for one in group for second in one.seconds]
    return group[0].step_tokens / median(seconds) if seconds and not any(one.failed for one in group) else 0.0


def cells_of(group: list[Measured]) -> tuple[str, str, str]:
    """Rate, MFU and memory."""
    peak = max(one.peak_gb for one in group)
    memory = f"{peak:.1f}" if peak else "–"
    if not (speed := rate(group)):
        return next(one.failed for one in group if one.failed), "–", memory
    one = group[0]
    share = f"{one.flops / one.step_tokens * speed / one.peak_flops:.1%}" if one.peak_flops else "–"
    return f"{speed:,.0f}", share, memory


def main() -> None:
    options = _options()
    if options.check or options.part:
        try:
            if options.check:
                refuse_wrong(options)
            else:
                print(msgspec.json.encode(measure(options)).decode())
        except SeraError as problem:
            sys.exit(f"sera: {problem}")
        return
    found = measure_all(options)
    print(json.dumps(msgspec.to_builtins(found)) if options.json else "\n".join(table(found)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    large = [name for name in SHAPES if name.startswith("qwen3")]
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=large)
    parser.add_argument("--tokens", nargs="+", type=int, default=[4096, 32_768])
    parser.add_argument("--side", nargs="+", choices=SIDES, default=[], help="all that can be had here")
    parser.add_argument("--device", default="", help="cpu, or a kind of GPU; the GPU that is here")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in sera train")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="that count, of a round")
    parser.add_argument("--step-tokens", type=int, default=32_768)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of a measurement")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--json", action="store_true", help="all measurements instead of the table")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--round", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    adapter = any(pair.startswith("lora") for pair in options.set)
    if not options.side:
        liger = options.device != "cpu" and find_spec("liger_kernel")
        options.side = [side for side in SIDES if side != LIGER or liger]
    if adapter and options.side != ["sera"]:
        parser.error("the baseline trains all weights: an adapter is measured with --side sera alone")
    return options


if __name__ == "__main__":
    main()
