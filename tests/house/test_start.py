"""The command line starts quickly and the core stays small."""

import resource
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

SERA = Path(sys.executable).parent / "sera"
HEAVY = {"torch", "transformers", "tokenizers", "ray", "starlette", "uvicorn", "httpx2", "rich", "unidiff"}


def cpu_seconds() -> float:
    """Of all ended children, user and system."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def test_help_is_quick() -> None:
    """0.3 s; in processor time, which a busy machine does not stretch as much, and the best of a few."""
    times = []
    for _ in range(5):
        before = cpu_seconds()
        subprocess.run([SERA, "--help"], check=True, capture_output=True, timeout=30)
        times.append(cpu_seconds() - before)
    assert min(times) < 0.3, times


def test_help_imports_nothing_heavy() -> None:
    script = "import sys, sera.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert not HEAVY & set(loaded.stdout.split())


def test_core_needs_few_packages() -> None:
    core = [need for need in requires("sera") or () if "extra ==" not in need]
    assert len(core) <= 8, core
