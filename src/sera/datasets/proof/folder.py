"""What holds for a dataset as a whole: its files, its student, and what its rows have in common."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sera.datasets.manifest import Manifest, sha256
from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.rendering.student import Student


def files_are_whole(folder: Path, manifest: Manifest) -> Iterator[Fault]:
    """Every file is the one that the manifest names."""
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            yield _fault(Kind.CHECKSUM, f"{name} is not there, though the manifest names it")
        elif sha256(file) != expected:
            yield _fault(Kind.CHECKSUM, f"{name} was changed after the dataset was built: build it again")


def student_fits(student: Student, manifest: Manifest | None) -> Iterator[Fault]:
    """The tokenizer is the one it was built with, and has tokens of its own for end and padding."""
    if manifest and manifest.tokenizer != student.tokenizer_sha256:
        yield _fault(
            Kind.OTHER_TOKENIZER,
            f"the dataset was counted and cut with the tokenizer {manifest.tokenizer[:12]}…, this is "
            f"{student.tokenizer_sha256[:12]}… ({student.name}): give --tokenizer that of the student, or "
            f"build the dataset for this one",
        )
    if student.end_id is None:
        yield _fault(
            Kind.NO_END,
            f"{student.end!r}, with which the template {student.template.name} ends a turn, is not one token "
            f"of this tokenizer, so the student cannot learn to stop and no server would: use its own "
            f"template, which is taken for a model's folder if no --template is given",
        )
    if student.pad == "":
        spare = student.spare or "a token that is not the end"
        yield _fault(
            Kind.NO_PAD,
            f"the tokenizer names no padding token: set pad_token in tokenizer_config.json to {spare}",
        )
    elif student.pad == student.end:
        yield _fault(
            Kind.PAD_IS_END,
            f"the padding token is {student.pad!r}, which ends a turn: trainers mask padding, so the "
            f"end would never be learnt. Set pad_token to {student.spare or 'another token'}",
        )


class Together:
    """What rows are checked for against each other. Keeps a few bytes a row."""

    def __init__(self, manifest: Manifest | None) -> None:
        self._manifest = manifest
        self._ids: set[bytes] = set()
        self._tools: bytes | None = None
        self._rows = 0

    def see(self, identity: str, tools: bytes) -> Iterator[Fault]:
        """The next row: its id, and the digest of its tool definitions."""
        self._rows += 1
        digest = hashlib.blake2b(identity.encode(), digest_size=8).digest()
        if digest in self._ids:
            yield _fault(Kind.DUPLICATE_ID, f"the id {identity} stands in two rows", identity)
        self._ids.add(digest)
        self._tools = self._tools or tools
        if tools != self._tools:
            yield _fault(
                Kind.OTHER_TOOLS,
                "the row defines other tools than the first one: its run had another harness profile, and a "
                "student can be served with one only",
                identity,
            )

    def end(self) -> Iterator[Fault]:
        """All rows were seen."""
        if self._manifest and self._manifest.rows != self._rows:
            yield _fault(
                Kind.ROW_COUNT, f"there are {self._rows:,} rows, the manifest says {self._manifest.rows:,}"
            )


def _fault(kind: Kind, message: str, sample: str = "") -> Fault:
    return Fault(kind, sample, None, message)
