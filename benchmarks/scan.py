"""What the scan of training data finds in a directory of source that holds no secret, and how fast it is.

    python benchmarks/scan.py DIRECTORY [--show KIND]

Every text file is scanned as the answer of a tool would be. Time is this process's own.
"""

import argparse
import time
from collections import Counter, defaultdict
from pathlib import Path

from sera.datasets.safety import SafetyConfig, make_finder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--show", default="", metavar="KIND", help="print what was found of this kind")
    arguments = parser.parse_args()
    texts = [text for path in sorted(arguments.directory.rglob("*")) if (text := read(path)) is not None]
    finder = make_finder(SafetyConfig(), environment={})
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    begun = time.process_time()
    for text in texts:
        for hit in finder.find(text):
            found[hit.kind][hit.value] += 1
    seconds = time.process_time() - begun
    size = sum(map(len, texts)) / 1e6
    print(f"{len(texts):,} files, {size:.1f} MB, {size / seconds:.1f} MB/s")
    for kind, values in sorted(found.items()):
        print(f"{kind}: {len(values):,} values in {values.total():,} files")
    for value in found[arguments.show]:
        print(f"  {value}")


def read(path: Path) -> str | None:
    """A file's text; None if it is no text."""
    try:
        return path.read_text("utf-8") if path.is_file() else None
    except UnicodeDecodeError:
        return None


if __name__ == "__main__":
    main()
