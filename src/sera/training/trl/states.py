"""States that a training can go on from, and its weights at the end.

The file `whole` is the last to be written, and says of what training they are, how large all other files
are, and the CRC-32 of those that are not huge: what a kill, a full disk, a lost machine or a copy of other
files has left is told apart from a state.
"""

import re
import shutil
import zlib
from pathlib import Path

import msgspec

from sera.errors import TrainError, boundary
from sera.training.folder import ASKED, STATE, replace
from sera.untrusted import decode

WHOLE = "whole"
TRAINED = "trained"
_TRAINING = f"../../{ASKED}"
"""What the training is of, from a state on."""
_NAME = re.compile("checkpoint-([0-9]{1,9})")
_HUGE = 1 << 30
"""Bytes: to read what is larger takes too long."""
_AT_ONCE = 1 << 22


def mark_whole(state: Path) -> None:
    """All of it is written."""
    files = [file for file in sorted(state.rglob("*")) if file.is_file() and file != state / WHOLE]
    told = {str(file.relative_to(state)): _told(file) for file in files}
    replace(state / WHOLE, msgspec.json.encode(told | {_TRAINING: _told(state / _TRAINING)}))


def last_state(out: Path) -> Path | None:
    """The newest whole state of a training; those that are not whole are removed."""
    found = sorted((path for path in (out / STATE).glob("checkpoint-*") if _is_state(path)), key=step_of)
    for state in found:
        if not _is_whole(state):
            with boundary(TrainError, f"the state {state} is not whole and cannot be removed"):
                shutil.rmtree(state)
    return next((state for state in reversed(found) if state.exists()), None)


def trained_weights(out: Path) -> Path | None:
    """The weights at the end of a training, if it has come to its end."""
    done = out / STATE / TRAINED
    if not (done / WHOLE).exists():
        return None
    if not _is_whole(done):
        raise TrainError(
            f"the trained weights in {done} are damaged, or of another training: restore them from a copy, "
            "or remove that folder and train anew"
        )
    return done


def step_of(state: Path) -> int:
    """The step after which a state was saved."""
    return int(state.name.partition("-")[2])


def steps_of(state: Path) -> int:
    """Steps of the whole training that it belongs to."""
    return int(msgspec.json.decode((state / "trainer_state.json").read_bytes())["max_steps"])


def _is_state(path: Path) -> bool:
    return bool(_NAME.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()


def _is_whole(state: Path) -> bool:
    try:
        content = (state / WHOLE).read_bytes()
        if not content:
            return state.name == TRAINED  # as it was when it said nothing
        told = decode(content, dict[str, int | str])
        return all(_is_as_told(state / name, of_it) for name, of_it in told.items())
    except (OSError, msgspec.DecodeError):
        return False


def _is_as_told(file: Path, told: int | str) -> bool:
    """A number is the size alone, as it was told before."""
    return file.stat().st_size == told if isinstance(told, int) else _told(file) == told


def _told(file: Path) -> str:
    """Size and CRC-32 of a file."""
    size, total = file.stat().st_size, 0
    if size <= _HUGE:
        with file.open("rb") as opened:
            while part := opened.read(_AT_ONCE):
                total = zlib.crc32(part, total)
    return f"{size} {total:08x}"
