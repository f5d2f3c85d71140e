"""The benchmark of training works, counts what is computed, and shows what failed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from training_part import is_full, peak_flops

from sera.training.forecast import Device
from training import is_done, last_words, read

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training.py"
TOKENS, ROWS = 64, 2
GPU = {
    "shape": "qwen3-4b", "tokens": 32_768, "round": 0, "held": "32 bits, AdamW in 8", "device": "NVIDIA H100",
    "peak_flops": 989e12, "step_tokens": 32_768, "flops": 1.74e15, "peak_gb": 71.5, "forecast_gb": 72.7,
}  # fmt: skip


def run(*words: object, code: int = 0) -> str:
    """What it printed, or what it said if it failed."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both sides did with the tiny shape, one step each after those that warm up."""
    pytest.importorskip("trl")
    file = tmp_path_factory.mktemp("bench") / "results.jsonl"
    run("--shape", "tiny", "--tokens", TOKENS, "--step-tokens", TOKENS * ROWS, "--device", "cpu",
        "--rounds", 1, "--steps", 1, "--limit", 400, "--results", file)  # fmt: skip
    return file


def counted() -> tuple[int, int]:
    """Operations of a row, forward and backward, as torch counts them: (of linear layers, of attention)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = {
        "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512, "tie_word_embeddings": True,
    }  # fmt: skip
    model = Qwen3ForCausalLM(Qwen3Config(**shape, attn_implementation="eager"))
    ids = torch.arange(TOKENS)[None]
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    found = counter.get_flop_counts()["Global"]
    return found[torch.ops.aten.mm], found[torch.ops.aten.bmm]


@pytest.mark.soak
def test_its_operations_are_those_that_torch_counts(results: Path) -> None:
    measured: list[dict[str, Any]] = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(one["side"], one["failed"]) for one in measured] == [("Trainer", ""), ("sera", "")]
    linear, attention = counted()
    for one in measured:
        assert (one["step_tokens"], len(one["seconds"])) == (TOKENS * ROWS, 1)
        assert one["peak_gb"] > 0.1
        # Torch counts all of the square that attention looks at, and the mask leaves half of it.
        assert one["flops"] == pytest.approx(ROWS * (linear + attention / 2), rel=1e-3)


@pytest.mark.soak
def test_what_is_there_is_not_measured_again(results: Path) -> None:
    before = results.read_bytes()
    rows = run("--shape", "tiny", "--tokens", TOKENS, "--device", "cpu", "--rounds", 1, "--results", results)
    assert results.read_bytes() == before
    assert [line.split(" | ")[2:4] for line in rows.splitlines()[-2:]] == [
        ["32 bits, AdamW", "Trainer"],
        ["32 bits, AdamW", "sera: trl.keep_attention=true"],
    ]


def test_the_table_compares_sera_with_each_baseline_and_shows_what_failed(tmp_path: Path) -> None:
    """Also on a machine without a GPU, as long as nothing is left to measure."""
    own = {"side": "sera", "settings": ["trl.liger=true"], "seconds": [4.0]}
    other = {"asked": ["trl.weights='bf16'"], "device": "NVIDIA X1", "peak_flops": 0.0}
    lines: list[dict[str, Any]] = [
        GPU | own,
        GPU | {"side": "Trainer", "failed": "out of memory"},
        GPU | {"side": "Trainer+Liger", "seconds": [8.0, 6.0, 60.0]},
        GPU | own | other | {"seconds": [2.0]},
    ]
    file = tmp_path / "gpu.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    asked = ("--shape", "qwen3-4b", "--tokens", 32_768, "--rounds", 1, "--results", file)
    said = run(*asked, "--side", "sera", "Trainer", "Trainer+Liger").splitlines()
    assert said[0] == "On NVIDIA H100 (989 TFLOP/s), NVIDIA X1"
    assert [line.split(" | ")[3:] for line in said[4:]] == [
        ["Trainer", "out of memory", "–", "71.5", "–", "– |"],
        ["Trainer+Liger", "4,096", "22.0%", "71.5", "–", "2.00× |"],
        ["sera: trl.liger=true", "8,192", "44.0%", "71.5", "72.7", "– |"],
        ["sera: trl.liger=true", "16,384", "–", "71.5", "72.7", "– |"],
    ]


def test_what_is_measured_again(tmp_path: Path) -> None:
    """Other settings, and what failed for lack of a library; not what is too large or too slow."""
    file = tmp_path / "results.jsonl"
    failures = ("", "out of memory", "not through in 300 s", "ended with 1: ImportError: no torchao")
    lines = [GPU | {"side": "sera", "tokens": n, "failed": why} for n, why in enumerate(failures)]
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    found = list(read(file))
    about = found[0].about
    assert [is_done(about._replace(tokens=n), found) for n in range(4)] == [True, True, True, False]
    assert not is_done(about._replace(asked=("trl.liger=true",)), found)
    assert [is_done(about._replace(tokens=n, round=1), found) for n in range(2)] == [False, True]


def test_the_reason_of_a_failure() -> None:
    said = "Traceback\n  File\nRuntimeError: CUDA error: an illegal address\nCompile with `TORCH_USE_CUDA_DSA`.\n"
    assert last_words(said) == "RuntimeError: CUDA error: an illegal address"
    assert last_words("Killed\n\n") == "Killed"
    assert last_words("") == ""


def test_a_full_gpu_is_told_from_other_errors() -> None:
    for said, full in (
        ("CUDA out of memory. Tried to allocate 20.00 GiB", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("Triton Error [CUDA]: out of memory", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ):
        assert is_full(RuntimeError(said)) is full


def test_the_peak_is_that_of_the_gpu_that_is_there() -> None:
    """An unknown one is planned for as an H100, and has no MFU."""
    planned = Device("h100", 80, 989e12, 1)
    assert peak_flops(planned, "NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops(planned, "NVIDIA GeForce RTX 5090") == 0
    assert peak_flops(Device("a100-40", 40, 312e12, 1), "NVIDIA A100-SXM4-40GB") == 312e12
    assert peak_flops(Device("cpu", 16, 1e11, 1), "cpu") == 0


def test_what_no_measurement_could_do_is_refused_at_once(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    asked = ("--shape", "tiny", "--tokens", TOKENS, "--results", tmp_path / "results.jsonl")
    assert "trl.weights=bf16 needs trl.optimizer=adamw_8bit" in run(
        *asked, "--device", "cpu", "--set", "trl.weights=bf16", code=1
    )
    if not torch.cuda.is_available():
        assert "torch sees no GPU here" in run(*asked, code=1)
    assert not (tmp_path / "results.jsonl").exists()
