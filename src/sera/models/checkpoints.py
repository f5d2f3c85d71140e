"""What a checkpoint says of how it was trained, so that it is asked in the same way: `sera.json`.

    sera.json             format of the tool calls, reasoning, hashes of harness profile and template, context
    harness.json          the words of that profile
    chat_template.jinja   that template

`sera train` writes them. A model from elsewhere has no `sera.json`, and is asked as a teacher is.
"""

import hashlib
from pathlib import Path

import msgspec

from sera.errors import ModelError, boundary
from sera.harness import Profile
from sera.records import Record

CHECKPOINT = "checkpoint"
"""What `sera train` calls the folder of every checkpoint."""
SAVED, WORDS, TEMPLATE = "sera.json", "harness.json", "chat_template.jinja"


class Saved(Record, frozen=True):
    """What is read of a checkpoint's `sera.json`; whatever else is in it is not needed here."""

    format: str = ""
    """Of the dataset: `hermes`, `xml` or `raw`."""
    think: str = ""
    """What became of reasoning in the dataset: `keep`, `drop`, `only` or `wrap`."""
    harness: str = ""
    """Hash of the harness profile."""
    template: str = ""
    """SHA-256 of the chat template."""
    context: int = 0
    """Tokens of the longest conversation that it was trained on; 0: not said."""


class Checkpoint(Record, frozen=True):
    """A checkpoint with its harness."""

    saved: Saved
    profile: Profile
    digest: str
    """Of its `sera.json`, which names dataset, settings and losses."""


def read_checkpoint(model: str) -> Checkpoint | None:
    """What is saved with a model, by its folder, or by the GGUF that was made of it and lies in it or beside
    it; None for any other model.

    Raises `ModelError` if what is saved is damaged or contradicts itself.
    """
    folder = _folder_of(Path(model).expanduser())
    if folder is None:
        return None
    where = f"the checkpoint {folder}"
    with boundary(ModelError, f"{where} has a damaged {SAVED}", OSError, msgspec.DecodeError):
        saved = msgspec.json.decode((folder / SAVED).read_bytes(), type=Saved)
    with boundary(ModelError, f"{where} has no readable {WORDS}", OSError, msgspec.DecodeError):
        profile = msgspec.json.decode((folder / WORDS).read_bytes(), type=Profile)
    if saved.harness != profile.hash:
        raise ModelError(
            f"{where} was trained with the harness profile {saved.harness or '(not named)'}, and its "
            f"{WORDS} is {profile.hash}: one of the two files was changed"
        )
    if saved.template != _hash_of(folder / TEMPLATE):
        raise ModelError(
            f"{where} was trained with another template than its {TEMPLATE}: put the right file back"
        )
    return Checkpoint(saved=saved, profile=profile, digest=_hash_of(folder / SAVED))


def _folder_of(model: Path) -> Path | None:
    """The checkpoint that a model is, or was made of."""
    places = [model] if model.is_dir() else [model.parent, model.parent / CHECKPOINT]
    return next((place for place in places if model.exists() and (place / SAVED).is_file()), None)


def _hash_of(file: Path) -> str:
    """SHA-256 of a file; empty if there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
