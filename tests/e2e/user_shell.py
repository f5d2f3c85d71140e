"""Running `sera` as a user does: in a process of its own, with a home of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SERA = Path(sys.executable).parent / "sera"
TOKENIZER = Path(__file__).parents[2] / ".cache" / "tokenizer" / "tokenizer.json"

Sera = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(cache: Path, **more: str) -> dict[str, str]:
    """What a user's shell would give: no key, an empty home."""
    kept = {"PATH": os.environ["PATH"], "SERA_TOKENIZER": os.environ.get("SERA_TOKENIZER", str(TOKENIZER))}
    return kept | {"HOME": str(cache), "SERA_CACHE": str(cache), "LANG": "C.UTF-8", "COLUMNS": "120"} | more
