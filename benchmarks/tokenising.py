"""Throughput of a dataset's build, part by part, in MB of conversation for each second of a core.

    python benchmarks/tokenising.py RUN [--peer PEER/bin/python] [--tokenizer FILE] [--rounds N]

RUN is a finished run. With `--peer`, an interpreter that has transformers, its tokenising message by message
is the baseline. Every part runs in a process of its own, with one thread of the tokenizer unless it says
otherwise; the parts take turns, and the best of the rounds counts. All do equal work on all conversations of
the run, or all that become rows, and must count the same tokens.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from sera.datasets import DatasetConfig, build_dataset
from sera.datasets.inputs import open_inputs
from sera.datasets.proof import StudentNames, check_dataset
from sera.datasets.tokens import read_tokenizer
from sera.formats import find_format

OURS = (
    "batches of 256, in the calling thread",
    "batches of 256",
    "the same with the memory",
    "build",
    "build, the tokenizer's threads",
    "build, 2 processes",
    "check",
)
THEIRS = {"transformers, encode": "encode", "transformers, apply_chat_template": "template"}
BATCH = 256
Times = tuple[float, float, int]
"""Seconds of CPU, seconds by the clock, tokens."""


class Given(NamedTuple):
    """What a part works on."""

    folder: Path
    """With `messages.jsonl`; datasets are built in it."""
    run: Path
    tokenizer: str


def texts_of(folder: Path) -> list[str]:
    rows = map(json.loads, (folder / "messages.jsonl").read_text("utf-8").split("\n")[:-1])
    return [f"<|im_start|>{row['role']}\n{row['content']}<|im_end|>\n" for row in rows]


def chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))


def batches(given: Given) -> Callable[[], int]:
    texts, library = texts_of(given.folder), read_tokenizer(given.tokenizer).tokenizer
    return lambda: sum(
        sum(map(len, library.encode_batch_fast(chunk, add_special_tokens=False))) for chunk in chunks(texts)
    )


def remembered(given: Given) -> Callable[[], int]:
    texts, encoder = texts_of(given.folder), read_tokenizer(given.tokenizer)
    return lambda: sum(sum(map(len, encoder.encode(chunk))) for chunk in chunks(texts))


def build(given: Given, workers: int = 1) -> Callable[[], int]:
    """Everything of the run becomes a row: nothing is left out early, which would be no work."""
    config = DatasetConfig(
        recipe="all T1|T2 r>=0",
        max_tool_tokens=10**9,
        max_patch_lines=10**9,
        max_tokens=10**9,
        tokenizer=given.tokenizer,
        workers=workers,
    )
    samples, sources = open_inputs([given.run])
    read_tokenizer(given.tokenizer)

    def work() -> int:
        return build_dataset(samples, given.folder / "data", config, sources).tokens.total

    return work


def build_in_two(given: Given) -> Callable[[], int]:
    return build(given, workers=2)


def check(given: Given) -> Callable[[], int]:
    read_tokenizer(given.tokenizer)
    names = StudentNames(tokenizer=given.tokenizer)
    return lambda: check_dataset(given.folder / "data", names, workers=1).tokens


PARTS = dict(zip(OURS, (batches, batches, remembered, build, build, build_in_two, check), strict=True))


def cpu() -> float:
    """Seconds of this process and of those it has started and seen end."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def work(part: str, given: Given) -> None:
    """One part, in the process that was started for it."""
    ready = PARTS[part](given)
    used, begun = cpu(), time.perf_counter()
    tokens = ready()
    print(json.dumps([cpu() - used, time.perf_counter() - begun, tokens]))


def start(part: str, folder: Path, options: argparse.Namespace) -> Times:
    if part in THEIRS:
        script = Path(__file__).with_name("peer_transformers.py")
        template = files("sera.datasets.rendering") / "templates" / "chatml.jinja"
        command = [
            options.peer, "-P", script, folder / "messages.jsonl", options.tokenizer, template, THEIRS[part],
        ]  # fmt: skip
    else:
        command = [sys.executable, __file__, options.run, "--tokenizer", options.tokenizer]
        command += ["--part", part, "--folder", folder]
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "1"}
    if part in (*THEIRS, OURS[0]):
        environment["TOKENIZERS_PARALLELISM"] = "false"
    elif part.endswith("threads"):
        del environment["RAYON_NUM_THREADS"]
    done = subprocess.run(
        list(map(str, command)), check=True, capture_output=True, text=True, env=environment
    )
    found: Times = tuple(json.loads(done.stdout.splitlines()[-1]))
    return found


def write_messages(folder: Path, run: Path) -> None:
    """All turns of the run, as a dataset has them."""
    style = find_format("hermes")
    with (folder / "messages.jsonl").open("w", encoding="utf-8") as file:
        for sample in open_inputs([run])[0]:
            for turn in style.render(sample.messages, sample.tools):
                file.write(json.dumps({"role": turn.role, "content": turn.text}) + "\n")


def measure(folder: Path, options: argparse.Namespace) -> None:
    write_messages(folder, options.run)
    texts = texts_of(folder)
    size, distinct = (sum(len(text.encode()) for text in of) / 1e6 for of in (texts, set(texts)))
    parts = [*(THEIRS if options.peer else ()), *OURS]
    found: dict[str, list[Times]] = {part: [] for part in parts}
    for _ in range(options.rounds):
        for part in parts:
            found[part].append(start(part, folder, options))
    counts = {part: {tokens for _, _, tokens in times} for part, times in found.items()}
    for group in (OURS[3:], [part for part in parts if part not in OURS[3:]]):
        assert len(set.union(*(counts[part] for part in group))) == 1, f"different tokens: {counts}"
    print(f"{len(texts):,} turns, {size:.1f} MB, {distinct:.1f} MB of it different")
    print("| part | MB/s of a core | MB/s by the clock |\n|---|---|---|")
    for part, times in found.items():
        used, passed = min(one[0] for one in times), min(one[1] for one in times)
        print(f"| {part} | {size / used:.2f} | {size / passed:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--peer", default="", help="the interpreter that has transformers")
    parser.add_argument("--tokenizer", default=os.environ.get("SERA_TOKENIZER"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=OURS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.tokenizer:
        parser.error("give --tokenizer or $SERA_TOKENIZER")
    if options.part:
        work(options.part, Given(options.folder, options.run, options.tokenizer))
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options)


if __name__ == "__main__":
    main()
