"""From samples to a dataset's folder, in one pass.

    sample → filters → turns, cut → spool → duplicates out, ordered → train.jsonl
                └────────────────────────────┴─→ rejected.jsonl

Conversations are never all in memory: a row that passes is written to a spool file at once, and only its
figures are kept for the order. Equal samples, in whatever order, give the same bytes. While building,
the disk holds the rows twice.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import msgspec

from sera.datasets.candidate import Figures
from sera.datasets.card import render_card
from sera.datasets.config import DatasetConfig
from sera.datasets.folder import replacing
from sera.datasets.manifest import CARD, REJECTED, ROWS, Count, Manifest, Tokens, sha256, write_manifest
from sera.datasets.sample import Sample, Source
from sera.datasets.select import Reason
from sera.datasets.sieve import Row, Sieve, json_line
from sera.datasets.tokens import load_counter
from sera.errors import DatasetError, boundary


def build_dataset(
    samples: Iterable[Sample], out: Path, config: DatasetConfig, sources: Sequence[Source]
) -> Manifest:
    """Build a dataset in the folder `out`, which is replaced whole, or not touched.

    `samples` is read once and may be a generator; give the T1 samples also where only T2 is wanted, since
    duplicates are found by them. `sources` are the runs they come from, each sample from one of these.

    Raises `DatasetError` if nothing is selected, if a sample comes twice, if the samples were made with
    different harness profiles, if `out` holds something else, or if the disk fails; `UsageError` if there
    is no tokenizer.
    """
    counter = load_counter(config.tokenizer)
    with boundary(DatasetError, f"dataset {out}"), replacing(out) as workspace:
        new = workspace / "new"
        with (workspace / "spool").open("w+b") as spool:
            sieve = Sieve(config, counter, sources, spool)
            for sample in samples:
                sieve.take(sample)
            rows, rejected = sieve.settle()
            if not rows:
                raise DatasetError(f"no sample was selected for {out}: {_reasons(rejected)}")
            _copy_rows(rows, spool, new / ROWS)
        (new / REJECTED).write_bytes(b"".join(json_line(figures) for figures in rejected))
        manifest = _describe(rows, rejected, sieve)
        (new / CARD).write_text(render_card(manifest), "utf-8")
        files = {name: sha256(new / name) for name in (ROWS, REJECTED, CARD)}
        manifest = msgspec.structs.replace(manifest, files=files)
        write_manifest(manifest, new)
    return manifest


def _copy_rows(rows: Iterable[Row], spool: IO[bytes], file: Path) -> None:
    with file.open("wb") as target:
        for row in rows:
            spool.seek(row.start)
            target.write(spool.read(row.size))


def _describe(rows: Sequence[Row], rejected: Sequence[Figures], sieve: Sieve) -> Manifest:
    lengths = [row.tokens for row in rows]
    return Manifest(
        sources=tuple(sorted(sieve.sources, key=msgspec.structs.astuple)),
        profile=sieve.profile,
        teachers=tuple(msgspec.json.decode(teacher) for teacher in sorted({row.teacher for row in rows})),
        settings=sieve.config.recorded(),
        tokenizer=sieve.counter.sha256,
        counts=_counts(rows, rejected),
        rows=len(rows),
        cut_rows=sum(row.figures.ratio != 1 for row in rows),
        untrained_turns=sum(row.untrained for row in rows),
        tokens=Tokens(total=sum(lengths), max=max(lengths), mean=round(sum(lengths) / len(lengths), 1)),
        files={},
    )


def _counts(rows: Sequence[Row], rejected: Sequence[Figures]) -> dict[str, Count]:
    selected = Counter(str(row.figures.stage) for row in rows)
    refused = Counter((str(figures.stage), figures.reason) for figures in rejected)
    stages = sorted({*selected, *(stage for stage, _ in refused)})
    return {
        stage: Count(
            selected=selected[stage],
            rejected={reason: refused[stage, reason] for reason in Reason if refused[stage, reason]},
        )
        for stage in stages
    }


def _reasons(rejected: Sequence[Figures]) -> str:
    counts = Counter(figures.reason for figures in rejected)
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "there was none"
