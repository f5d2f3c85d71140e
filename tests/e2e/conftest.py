"""Running `sera` as a user does: in a process of its own, with a home of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SERA = Path(sys.executable).parent / "sera"
TOKENIZER = Path(__file__).parents[2] / ".cache" / "tokenizer" / "tokenizer.json"

Sera = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(cache: Path, **more: str) -> dict[str, str]:
    """What a user's shell would give: no key, an empty home."""
    kept = {"PATH": os.environ["PATH"], "SERA_TOKENIZER": os.environ.get("SERA_TOKENIZER", str(TOKENIZER))}
    return kept | {"HOME": str(cache), "SERA_CACHE": str(cache), "LANG": "C.UTF-8", "COLUMNS": "120"} | more


@pytest.fixture
def sera(cache: Path) -> Sera:
    """Runs `sera` with the given arguments and checks the exit code, 0 unless told otherwise."""

    def run(
        *arguments: object, code: int = 0, timeout: float = 120, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        command = [str(SERA), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment(cache, **more)
        )
        assert done.returncode == code, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run
