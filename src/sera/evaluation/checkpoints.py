"""What a checkpoint says of how it was trained, so that it is asked in the same way: `sera.json`.

    sera.json       format of the tool calls, what became of the thoughts, hashes of the harness profile and
                    of the template, context
    harness.json    the words of that profile

`sera train` writes both. A model from elsewhere has neither, and is asked as a teacher is.
"""

from pathlib import Path

import msgspec

from sera.errors import ModelError, boundary
from sera.harness import Profile
from sera.records import Record

SAVED, WORDS = "sera.json", "harness.json"


class Saved(Record, frozen=True):
    """What is read of a checkpoint's `sera.json`; whatever else is in it is not needed here."""

    format: str = ""
    think: str = ""
    profile: str = ""
    """Hash of the harness profile."""
    template: str = ""
    context: int = 0
    """Tokens of the longest conversation that it was trained on; 0: not said."""


class Checkpoint(Record, frozen=True):
    """A checkpoint with its harness."""

    saved: Saved
    profile: Profile


def read_checkpoint(model: str) -> Checkpoint | None:
    """What is saved with a model, by its folder; None for any other model.

    Raises `ModelError` if what is saved is damaged or contradicts itself.
    """
    folder = Path(model).expanduser()
    if not (folder / SAVED).is_file():
        return None
    where = f"the checkpoint {folder}"
    with boundary(ModelError, f"{where} has a damaged {SAVED}", OSError, msgspec.DecodeError):
        saved = msgspec.json.decode((folder / SAVED).read_bytes(), type=Saved)
    with boundary(ModelError, f"{where} has no readable {WORDS}", OSError, msgspec.DecodeError):
        profile = msgspec.json.decode((folder / WORDS).read_bytes(), type=Profile)
    if saved.profile != profile.hash:
        raise ModelError(
            f"{where} was trained with the harness profile {saved.profile or '(not named)'}, and its "
            f"{WORDS} is {profile.hash}: one of the two files was changed"
        )
    return Checkpoint(saved=saved, profile=profile)
