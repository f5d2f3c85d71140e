"""The command line starts quickly and the core stays small."""

import re
import resource
import subprocess
import sys
from importlib.metadata import distribution, requires
from pathlib import Path

import sera

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


def test_core_is_small() -> None:
    """60 MB on top of Python, with all that its packages need in turn."""
    sizes: dict[str, int] = {}
    waiting = ["sera"]
    while waiting:
        name = waiting.pop()
        if name in sizes:
            continue
        found = distribution(name)
        files = [Path(str(found.locate_file(file))) for file in found.files or ()]
        sizes[name] = sum(file.stat().st_size for file in files if file.is_file())
        needs = [need for need in found.requires or () if ";" not in need]
        waiting += [re.split(r"[^\w.-]", need)[0].lower() for need in needs]
    own = Path(sera.__file__).parent
    sizes["sera"] = sum(f.stat().st_size for f in own.rglob("*") if f.is_file() and f.suffix != ".pyc")
    assert len(sizes) > 5
    assert sum(sizes.values()) < 60e6, sizes
