"""The command line starts quickly and the core stays small."""

import statistics
import subprocess
import sys
import time
from importlib.metadata import requires
from pathlib import Path

SERA = Path(sys.executable).parent / "sera"
HEAVY = {"torch", "transformers", "tokenizers", "ray", "starlette", "uvicorn", "httpx2", "rich", "unidiff"}


def test_help_is_quick() -> None:
    """0.3 s on a quiet machine; the median of a few leaves room for a noisy one."""
    times = []
    for _ in range(5):
        started = time.monotonic()
        subprocess.run([SERA, "--help"], check=True, capture_output=True, timeout=30)
        times.append(time.monotonic() - started)
    assert statistics.median(times) < 0.3, times


def test_help_imports_nothing_heavy() -> None:
    script = "import sys, sera.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert not HEAVY & set(loaded.stdout.split())


def test_core_needs_few_packages() -> None:
    core = [need for need in requires("sera") or () if "extra ==" not in need]
    assert len(core) <= 8, core
