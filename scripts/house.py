"""Prints our ten longest functions and modules. A long one should have a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"
SHOWN = 10


def functions(file: Path) -> Iterator[tuple[int, str]]:
    """(lines, place) of every function in a file."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield length, f"{file.relative_to(SOURCE)}:{node.lineno} {node.name}"


def show(title: str, found: list[tuple[int, str]]) -> None:
    """The longest of what was found, and how long most are."""
    found.sort(reverse=True)
    ninth = found[len(found) // 10][0]
    print(f"{title}: {len(found)} in all, nine in ten at most {ninth} lines")
    for length, place in found[:SHOWN]:
        print(f"{length:6d}  {place}")


def main() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    show("Functions", [found for file in files for found in functions(file)])
    show(
        "Modules",
        [(len(file.read_text("utf-8").splitlines()), str(file.relative_to(SOURCE))) for file in files],
    )


if __name__ == "__main__":
    main()
