"""How fast functions and their callers are found: seconds and files per second of one core.

    python benchmarks/functions.py SOURCE [--repeat N] [--json]

SOURCE is anything `sera` takes, e.g. a source archive of a large package. The snapshot is made first,
in a temporary cache unless `$SERA_CACHE` is set, and timed on its own; the index is timed `--repeat`
times in CPU seconds of this process, the best of which counts.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sera.repositories import index_functions, open_snapshot


def main() -> None:
    """Measure one source and print a line, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kept = os.environ.get("SERA_CACHE")
    with nullcontext(kept) if kept else tempfile.TemporaryDirectory() as cache:
        row = measure(options.source, Path(cache), options.repeat)
    if options.json:
        print(json.dumps(row, indent=2))
        return
    print(
        f"{row['name']}: {row['files']:,} files, {row['functions']:,} functions "
        f"({row['sampleable']:,} to sample) in {row['index_seconds']} s: "
        f"{row['files_per_second']} files/s, peak {row['peak_mib']} MiB; "
        f"snapshot {row['snapshot_seconds']} s"
    )


def measure(source: str, cache: Path, repeat: int) -> dict[str, Any]:
    """Times in seconds: `snapshot_seconds` on the wall clock, `index_seconds` of CPU."""
    start = time.perf_counter()
    snapshot = open_snapshot(source, cache)
    snapshot_seconds = time.perf_counter() - start
    best = float("inf")
    for _ in range(max(repeat, 1)):
        start = time.process_time()
        index = index_functions(snapshot.tree)
        best = min(best, time.process_time() - start)
    return {
        "name": snapshot.name,
        "files": index.files,
        "functions": len(index.functions),
        "sampleable": len(index.sampleable),
        "with_callers": sum(bool(function.callers) for function in index.functions),
        "left_out": index.left_out,
        "skipped": {reason: len(paths) for reason, paths in index.skipped.items()},
        "snapshot_seconds": round(snapshot_seconds, 2),
        "index_seconds": round(best, 2),
        "files_per_second": round(index.files / best),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


if __name__ == "__main__":
    main()
