"""States that a training can go on from. The file `whole` is the last to be written, and says how large all
others are: what a kill, a full disk or a lost machine has left of a state is told apart from a state."""

import shutil
from pathlib import Path

import msgspec

from sera.training.folder import replace

WHOLE = "whole"


def mark_whole(state: Path) -> None:
    """All of it is written."""
    sizes = {str(file.relative_to(state)): file.stat().st_size for file in _files(state)}
    replace(state / WHOLE, msgspec.json.encode(sizes))


def last_state(folder: Path) -> Path | None:
    """The newest whole state; those that are not whole are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    for state in found:
        if not _is_whole(state):
            shutil.rmtree(state)
    return next((state for state in reversed(found) if state.exists()), None)


def steps_of(state: Path) -> int:
    """Steps of the whole training that it belongs to."""
    return int(msgspec.json.decode((state / "trainer_state.json").read_bytes())["max_steps"])


def _is_whole(state: Path) -> bool:
    try:
        sizes = msgspec.json.decode((state / WHOLE).read_bytes(), type=dict[str, int])
        return all((state / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, msgspec.DecodeError):
        return False


def _files(state: Path) -> list[Path]:
    return sorted(file for file in state.rglob("*") if file.is_file())
