"""Counts and times the index of directories: python tests/repositories/measure_languages.py DIRECTORY…"""

import sys
import time
from pathlib import Path

from sera.repositories import index_functions


def main() -> None:
    for directory in sys.argv[1:]:
        started = time.process_time()
        found = index_functions(Path(directory))
        seconds = time.process_time() - started
        skipped = {reason: len(paths) for reason, paths in found.skipped.items()}
        print(f"{directory}: {found.files} files, {len(found.functions)} functions, ", end="")
        print(f"{len(found.sampleable)} sampleable, {seconds:.1f} s of processor time")
        print(f"  functions left out: {found.left_out}")
        print(f"  files left out: {skipped}")


if __name__ == "__main__":
    main()
