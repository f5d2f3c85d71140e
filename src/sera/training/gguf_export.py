"""GGUF export: to be written next."""

from pathlib import Path


def export_gguf(out: Path, kind: str) -> Path:
    raise NotImplementedError
