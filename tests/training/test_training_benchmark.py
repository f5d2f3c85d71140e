"""The benchmark of training works, counts what is computed, and shows what failed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.soak
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training.py"
TOKENS, ROWS = 64, 2


def run(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return done.stdout


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


def test_its_operations_are_those_that_torch_counts(results: Path) -> None:
    measured: list[dict[str, Any]] = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(one["side"], one["failed"]) for one in measured] == [("Trainer", ""), ("sera", "")]
    linear, attention = counted()
    for one in measured:
        assert (one["step_tokens"], len(one["seconds"])) == (TOKENS * ROWS, 1)
        assert one["peak_gb"] > 0.1
        # Torch counts all of the square that attention looks at, and the mask leaves half of it.
        assert one["flops"] == pytest.approx(ROWS * (linear + attention / 2), rel=1e-3)


def test_what_is_there_is_not_measured_again(results: Path, tmp_path: Path) -> None:
    """And what failed stays in the table, in place of a rate."""
    before, (trainer, sera) = results.read_bytes(), map(json.loads, results.read_text().splitlines())
    asked = ("--shape", "tiny", "--tokens", TOKENS, "--device", "cpu", "--rounds", 1, "--results")
    rows = run(*asked, results).splitlines()
    assert results.read_bytes() == before
    assert rows[-1].startswith(f"| tiny | {TOKENS} | 32 bits, AdamW |")
    assert rows[-1].endswith("× |")
    gpu = {"device": "H100", "peak_flops": 989e12, "step_tokens": 32_768, "flops": 1.74e15, "seconds": [4.0]}
    spoilt = [trainer | gpu | {"failed": "out of memory"}, sera | gpu]
    (tmp_path / "gpu.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in spoilt))
    cells = [cell.strip() for cell in run(*asked, tmp_path / "gpu.jsonl").splitlines()[-1].split("|")]
    assert cells[4:6] == ["out of memory", "–"]
    assert cells[7:9] == ["8,192", "44.0%"]
    assert cells[11] == "–"
