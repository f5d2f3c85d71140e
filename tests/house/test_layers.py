"""Imports point down: a test walks every import of every module."""

import ast
from pathlib import Path

import pytest

import sera

ROOT = Path(sera.__file__).parent

LAYERS = [
    {"records", "errors", "leases", "visible", "untrusted", "processors"},
    {"settings", "harness", "locks"},
    {"models", "formats", "redaction"},
    {"repositories", "sandboxes", "teachers", "runs"},
    {"agent", "environments"},
    {"generation", "datasets", "analysis"},
    {"engines", "evaluation", "training"},
    {"specialize"},
    {"cli"},
    {"__main__"},
]
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}


def part_of(module: str) -> str:
    return module.split(".")[1]


def imports(file: Path) -> set[str]:
    """Every module of ours that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("sera.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sera."):
            found.add(node.module)
    return found


def modules() -> list[Path]:
    return sorted(file for file in ROOT.rglob("*.py") if file.parent != ROOT or file.stem != "__init__")


def test_every_part_has_a_layer() -> None:
    parts = {file.relative_to(ROOT).parts[0].removesuffix(".py") for file in modules()}
    assert parts == RANK.keys()


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    here = file.relative_to(ROOT).parts[0].removesuffix(".py")
    for module in imports(file):
        there = part_of(module)
        assert there == here or RANK[there] < RANK[here], f"{here} must not import {module}"


def test_relative_imports_only_inside_a_sandbox() -> None:
    """What runs in a sandbox has no package `sera` around it; everything else names what it imports."""
    for file in modules():
        relative = [
            n
            for n in ast.walk(ast.parse(file.read_text("utf-8")))
            if isinstance(n, ast.ImportFrom) and n.level
        ]
        assert not relative or file.parent == ROOT / "sandboxes" / "inside", file
