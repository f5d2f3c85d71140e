"""The gate at the end of a build: a dataset that fails its proofs is not written, unless somebody insists."""

from pathlib import Path

import msgspec

from sera.datasets.manifest import Manifest
from sera.datasets.proof.check import check_dataset
from sera.datasets.proof.fault import Fault
from sera.datasets.rendering.student import StudentNames
from sera.errors import DatasetError


def prove(folder: Path, manifest: Manifest, names: StudentNames, workers: int, force: bool) -> Manifest:
    """Check a dataset that lies in `folder` with its manifest, and give the manifest to write.

    Raises `DatasetError` that tells the first fault; with `force` the manifest counts the faults instead.
    """
    report = check_dataset(folder, names, workers, files=False)
    if report.ok:
        return manifest
    if not force:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in report.counts.items())
        raise DatasetError(
            f"the dataset does not pass its proofs ({kinds}) and is not written; --force writes it all the "
            f"same, with its faults in the manifest. First, {told(report.faults[0])}"
        )
    return msgspec.structs.replace(manifest, faults=report.counts)


def told(fault: Fault) -> str:
    """A fault in one sentence, with its tokens: those in the loss in brackets, the place behind an arrow."""
    turn = f", message {fault.turn}" if fault.turn is not None else ""
    place = f"sample {fault.sample}{turn}: " if fault.sample else ""
    tokens = "".join(
        f"{' → ' if token.here else ''}{f'[{token.text}]' if token.loss else token.text}"
        for token in fault.tokens
    )
    shown = f" Tokens: {tokens!r}." if tokens else ""
    return f"{fault.kind}: {place}{fault.message}.{shown}"
