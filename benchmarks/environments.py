"""`sera prepare` on source archives of many build systems, or on old commits: what works, how long it takes,
what does not.

    python benchmarks/environments.py [NAME…] [--packages FILE] [--tests N] [--json]
    python benchmarks/environments.py [NAME…] --clones FOLDER [--commits FILE] [--tests N] [--json]

FILE holds pinned packages or commits, one a line. Source archives are downloaded with pip; of a commit
`OWNER/NAME@HASH`, FOLDER holds the repository with its history as `OWNER/NAME`. Each is prepared in a
temporary cache unless `$SERA_CACHE` is set, so that everything is really built. Rows are printed as they
come, in the form of the tables in docs/environments.md; `--json` prints one document at the end instead.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sera.environments import Environment, PrepareConfig, prepare
from sera.environments.commits import version_of
from sera.errors import SeraError
from sera.repositories import open_snapshot
from sera.settings import load_config

PACKAGES = Path(__file__).parent.parent / "tests" / "soak" / "environment_packages.txt"
COMMITS = PACKAGES.with_name("environment_commits.txt")
COLUMNS = (
    "package",
    "stands for",
    "backend",
    "Python",
    "usable",
    "without a failure",
    "built",
    "imported",
    "tests found",
    "passed",
    "failed",
    "skipped",
    "build s",
    "install s",
    "check s",
    "what did not work",
)


def main() -> None:
    """Prepare every package and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--packages", type=Path, default=PACKAGES)
    parser.add_argument("--commits", type=Path, default=COMMITS)
    parser.add_argument("--clones", type=Path, metavar="FOLDER")
    parser.add_argument("--tests", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    listed = read(options.commits if options.clones else options.packages)
    wanted = {pin: about for pin, about in listed.items() if _name(pin) in (options.names or [_name(pin)])}
    config = load_config(PrepareConfig, given={"check.tests": options.tests})
    if not options.json:
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    kept = os.environ.get("SERA_CACHE")
    rows = []
    with nullcontext(kept) if kept else tempfile.TemporaryDirectory() as cache:
        for pin, about in wanted.items():
            with source_of(pin, options.clones) as (source, revision):
                rows.append(measure(pin, about, source, revision, config, Path(cache)))
            if not options.json:
                print(f"| {' | '.join(str(rows[-1][column]) for column in COLUMNS)} |", flush=True)
    if options.json:
        print(json.dumps(rows, indent=2))
    usable, whole = (sum(row[what] == "yes" for row in rows) for what in ("usable", "without a failure"))
    print(f"{usable} of {len(rows)} usable, {whole} without a failing test", file=sys.stderr)


def _name(pin: str) -> str:
    return pin.partition("==")[0].partition("@")[0].rpartition("/")[2]


@contextmanager
def source_of(pin: str, clones: Path | None) -> Iterator[tuple[str, str | None]]:
    """What sera is told of a package or a commit: an address, and a revision."""
    if clones:
        repository, _, commit = pin.partition("@")
        yield str(clones / repository), commit
        return
    with tempfile.TemporaryDirectory() as folder:
        yield str(archive(pin, Path(folder))), None


def read(packages: Path) -> dict[str, str]:
    """Pin → what the package stands for."""
    lines = [line.partition("#") for line in packages.read_text("utf-8").splitlines()]
    return {pin.strip(): about.strip() for pin, _, about in lines if pin.strip()}


def archive(pin: str, folder: Path) -> Path:
    """The source archive of a package, downloaded."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", pin]
    subprocess.run([*command, "-d", str(folder)], check=True, timeout=600)
    return next(folder.iterdir())


def measure(
    pin: str, about: str, source: str, revision: str | None, config: PrepareConfig, cache: Path
) -> dict[str, Any]:
    """The row of one package or commit."""
    started = time.perf_counter()
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {"package": _shown(pin), "stands for": about}
    try:
        snapshot = open_snapshot(source, cache, revision)
        environment = prepare(snapshot, config, cache, version_of(source, snapshot.origin_commit))
    except SeraError as failure:
        seconds = round(time.perf_counter() - started)
        return row | {"usable": "no", "check s": seconds, "what did not work": str(failure)}
    return row | facts(environment)


def _shown(pin: str) -> str:
    repository, _, commit = pin.partition("@")
    return f"{repository} {commit[:10]}".strip().replace("==", " ")


def facts(one: Environment) -> dict[str, Any]:
    """What was made and tried out."""
    checked, seconds = one.checked, one.seconds
    troubles = [f"{trouble.times}× {trouble.cause} ({trouble.what})" for trouble in checked.troubles]
    late = ["not all tests in time"] if checked.timed_out else []
    by_source = " (source)" if checked.counted == "source" else ""
    return {
        "backend": one.plan.backend or "setup.py",
        "Python": one.plan.interpreter.version,
        "usable": "yes" if one.works else "no",
        "without a failure": "yes" if one.works and not (checked.failed or checked.unreadable) else "no",
        "built": "yes" if one.built else "no",
        "imported": "yes" if checked.imported else "no",
        "tests found": f"{checked.collected}{by_source}",
        "passed": checked.passed,
        "failed": checked.failed,
        "skipped": checked.skipped,
        "build s": seconds.get("build", ""),
        "install s": seconds.get("install", ""),
        "check s": seconds.get("check", ""),
        "what did not work": "; ".join([*troubles, *one.warnings, *late]).replace("|", "/"),
    }


if __name__ == "__main__":
    main()
