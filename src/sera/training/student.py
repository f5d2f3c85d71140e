"""The model that is to be trained: its shape, its tokenizer, and how it is laid out in text.

A folder in the Hugging Face form, a name on the hub, a GGUF file, or a name that `sera model list` shows.
Of a GGUF the tokenizer is written out once, into the cache, so that the rest of sera sees a folder like any
other. Nothing here loads weights.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.proof import StudentNames
from sera.datasets.rendering import Student, load_student
from sera.errors import DatasetError, ModelError, UsageError, boundary
from sera.models import Weights, find_weights
from sera.models.gguf import read_metadata_of, tensor_names, write_tokenizer
from sera.models.shapes import Shape, shape_of_folder
from sera.models.weights import Kind, known_weights
from sera.settings import default_cache

_HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")
ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Those that can be read from a GGUF, trained and written as one."""


class StudentModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model to be trained."""

    name: str
    asked: str
    """As it was asked for, for launch commands."""
    weights: Weights
    folder: Path
    """Where its tokenizer files are."""
    shape: Shape
    tokenizer: str
    """Path of the `tokenizer.json` in use."""

    def names(self, template: str = "") -> StudentNames:
        """How the dataset's part finds the same student. A known family's own padding is used, since that
        of many folders is the end of a turn; of a folder of no known family everything is its own."""
        family = load_student("", self.tokenizer).name
        if family != "another":
            return StudentNames(student=family, tokenizer=self.tokenizer, template=template)
        return StudentNames(student=str(self.folder), tokenizer=self.tokenizer, template=template)

    def reading(self, template: str, rendered: str) -> tuple[StudentNames, Student]:
        """The student with the chat template of the hash `rendered`: that in the file `template`, or if none
        is given `chatml` or its own. Without a hash any will do.

        Raises `UsageError` if it is another.
        """
        for candidate in (template,) if template else ("chatml", str(self.folder)):
            names = self.names(candidate)
            try:
                student = names.load()
            except (UsageError, DatasetError):
                if template:
                    raise
                continue  # it has no template of its own that could be trained with
            if rendered in ("", student.template.sha256):
                return names, student
        tried = template or f"neither chatml nor {self.name}'s own"
        raise UsageError(
            f"the dataset was rendered with the chat template {rendered[:12]}…, and this is {tried}: give "
            f"--template FILE with that one, or build the dataset with --template for this"
        )


def open_student(model: str, tokenizer: str = "", cache: Path | None = None) -> StudentModel:
    """The student of that name or path; `tokenizer` is a `tokenizer.json` to use in place of its own.

    Raises `ModelError` if it is not there, is damaged, or is of an architecture that cannot be trained.
    """
    weights = _find(model, cache)
    if weights.kind is Kind.GGUF:
        metadata = read_metadata_of(weights.path)
        shape = _shape_of_gguf(weights.path, metadata)
        folder = _unpacked(weights, metadata, cache)
    else:
        folder = weights.path
        shape = shape_of_folder(folder)
    file = tokenizer or str(folder / "tokenizer.json")
    if not Path(file).is_file():
        raise ModelError(f"student {model}: there is no {file}: a student needs its own tokenizer.json")
    return StudentModel(
        name=weights.name, asked=model, weights=weights, folder=folder, shape=shape, tokenizer=file
    )


def is_on_hub(model: str) -> bool:
    """Whether it is a name on the hub, and nothing of this machine."""
    return model not in known_weights() and bool(_HUB_NAME.fullmatch(model)) and not Path(model).exists()


def _find(model: str, cache: Path | None) -> Weights:
    if not is_on_hub(model):
        return find_weights(model, cache)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as missing:
        raise ModelError(f'{model} is a name on the hub: pip install "sera[hub]"') from missing
    wanted = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
    # What the library raises for a name, a network or a key that fails is of many kinds.
    with boundary(
        ModelError, f"the student {model} cannot be had from the hub, nor is it a folder", Exception
    ):
        path = Path(snapshot_download(model, allow_patterns=wanted))
    return Weights(model.rpartition("/")[2], path, Kind.FOLDER)


def _shape_of_gguf(file: Path, metadata: dict[str, Any]) -> Shape:
    kind = metadata.get("general.architecture", "none")
    if kind not in ARCHITECTURES:
        raise ModelError(
            f"{file} is of the architecture {kind!r}, which cannot be trained from a GGUF: only "
            f"{', '.join(ARCHITECTURES)}. Take the model as a folder in the Hugging Face form"
        )
    with boundary(ModelError, f"{file} lacks a fact about its shape", KeyError):
        hidden, heads = metadata[f"{kind}.embedding_length"], metadata[f"{kind}.attention.head_count"]
        return Shape(
            architecture=kind,
            layers=metadata[f"{kind}.block_count"],
            hidden=hidden,
            width=metadata[f"{kind}.feed_forward_length"],
            heads=heads,
            kv_heads=metadata.get(f"{kind}.attention.head_count_kv", heads),
            head_dim=metadata.get(f"{kind}.attention.key_length", hidden // heads),
            vocabulary=len(metadata["tokenizer.ggml.tokens"]),
            context=metadata[f"{kind}.context_length"],
            tied="output.weight" not in tensor_names(file),
        )


def _unpacked(weights: Weights, metadata: dict[str, Any], cache: Path | None) -> Path:
    """A folder with the tokenizer files of a GGUF, made once."""
    told = msgspec.json.encode([metadata["tokenizer.ggml.tokens"], metadata.get("tokenizer.chat_template")])
    mark = hashlib.sha256(told).hexdigest()[:16]
    folder = (cache or default_cache()).expanduser() / "students" / f"{weights.path.stem}-{mark}"
    if not (folder / "tokenizer_config.json").is_file():
        with boundary(ModelError, f"the tokenizer of {weights.path} cannot be written to {folder}"):
            write_tokenizer(metadata, folder)
    return folder
