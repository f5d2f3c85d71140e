"""From samples to a dataset's folder, in one pass.

    sample ─► decide (filters, turns, cut) ─► workspace ─► settle (duplicates, caps, recipe) ─► train.jsonl
                     └─────────────────────────────────▲─────────┴─► rejected.jsonl  │
                                                       └──── without what cannot be ─┘ proven

Conversations are never all in memory: a row that passes is written to the workspace at once, and only its
figures are kept. Equal samples, in whatever order, give the same bytes. A build that was killed goes on: the
same call finds in the workspace what was decided before, and neither renders nor counts it again. While
building, the disk holds the rows twice.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from sera.datasets.candidate import Figures
from sera.datasets.card import render_card
from sera.datasets.config import DatasetConfig
from sera.datasets.decide import Deciding, Decision, excluded
from sera.datasets.lines import json_line
from sera.datasets.manifest import (
    CARD,
    REJECTED,
    ROWS,
    Count,
    Manifest,
    Mixed,
    PartCount,
    Tokens,
    sha256,
    write_manifest,
)
from sera.datasets.proof.fault import Fault, Kind
from sera.datasets.proof.gate import FORCE, prove, told
from sera.datasets.recipe import Part, find_recipe
from sera.datasets.rendering.student import StudentNames
from sera.datasets.safety.planting import Planter
from sera.datasets.sample import Sample, Source, encode_sample, is_rehearsal
from sera.datasets.selection.chain import told_filters
from sera.datasets.selection.reasons import Reason
from sera.datasets.settle import Settled, settle
from sera.datasets.workers import Batch, share
from sera.datasets.workspace import Workspace, open_workspace
from sera.errors import ConfigError, DatasetError, boundary
from sera.records import content_id

_BATCH_SAMPLES, _BATCH_BYTES = 16, 2_000_000
"""What is decided together: enough to keep a tokenizer busy, little enough to hold several batches."""
_DETAIL = 300
"""Characters that are kept of what is wrong with a row."""
_CODE = (".py", ".toml", ".jinja")


def build_dataset(
    samples: Iterable[Sample],
    out: Path,
    config: DatasetConfig,
    sources: Sequence[Source],
    force: bool = False,
) -> Manifest:
    """Build a dataset in the folder `out`, which is replaced whole, or not touched.

    `samples` is read once and may be a generator; give the T1 samples also where only T2 is wanted, since
    duplicates are found by them. `sources` are the runs they come from, each sample from one of these, in
    the order in which a recipe numbers them. Every row is proven at the end, see `docs/proofs.md`. One that
    fails is left out under the kind of its fault, and the samples are dealt again without it; with `force` it
    is written, and the manifest counts the faults.

    Raises `DatasetError` if nothing is selected, if a recipe asks for more than there is, if a sample comes
    twice or one to be excluded not at all, if the samples were made with different harness profiles, if `out`
    holds something else, if the disk fails, or if a proof fails that is not of a row; `UsageError` if there
    is no tokenizer or a setting cannot be followed.
    """
    parts = find_recipe(config.recipe, sources)
    names = StudentNames(student=config.student, tokenizer=config.tokenizer, template=config.template)
    student = names.load()
    template = student.template.sha256
    kinds = [msgspec.structs.replace(part, count=None) for part in parts]
    student_id = student.tokenizer_sha256, template
    key = content_id(config.deciding(), kinds, _lists(config), student_id, sources, _code())
    with boundary(DatasetError, f"dataset {out}"), open_workspace(out, key) as workspace:
        intake = _Intake(workspace, sources)
        decisions = intake.decide(samples, config, parts)
        first: Fault | None = None
        while True:
            settled = settle(decisions, config, parts, sources)
            _refuse_short(settled, config, parts, out, first)
            planter = Planter(config, student, settled.rows)
            settled = _write_rows(settled, workspace, planter)
            manifest = _describe(settled, config, sources, parts)
            manifest = msgspec.structs.replace(
                manifest,
                profile=intake.profile,
                tokenizer=student.tokenizer_sha256,
                student=student.name,
                template=template,
                canaries=planter.canaries,
                tallies=_tallies(decisions),
                row_tallies=_tallies(settled.rows),
            )
            write_manifest(manifest, workspace.new)
            manifest, left_out = prove(workspace.new, manifest, names, config.workers, force)
            if not left_out:
                break
            first = first or next(iter(left_out.values()))
            decisions = _without(decisions, settled, left_out)
        (workspace.new / CARD).write_text(render_card(manifest), "utf-8")
        files = {name: sha256(workspace.new / name) for name in (ROWS, REJECTED, CARD)}
        manifest = msgspec.structs.replace(manifest, files=files)
        write_manifest(manifest, workspace.new)
    return manifest


class _Intake:
    """Takes samples in, in batches, and decides those that were not decided before."""

    def __init__(self, workspace: Workspace, sources: Sequence[Source]) -> None:
        self.profile = ""
        self._workspace = workspace
        self._sources = sources
        self._seen: set[tuple[str, str]] = set()
        self._decisions: list[Decision] = []

    def decide(
        self, samples: Iterable[Sample], config: DatasetConfig, parts: Sequence[Part]
    ) -> list[Decision]:
        """What became of every sample."""
        keys: deque[list[str]] = deque()
        batches = self._batches(self._wanted(samples, set(config.exclude)), keys)
        job = Deciding(config=config, parts=tuple(parts), sources=tuple(self._sources))
        with closing(share(job, batches, config.workers)) as results:
            for outcomes in results:
                decided = zip(keys.popleft(), outcomes, strict=True)
                self._decisions += self._workspace.add(decided)
        return self._decisions

    def _wanted(self, samples: Iterable[Sample], exclude: set[str]) -> Iterator[Sample]:
        """The samples, but for those to be excluded, which are not looked at."""
        missing = set(exclude)
        for sample in samples:
            missing.discard(sample.id)
            if sample.id in exclude:
                self._decisions.append(excluded(sample))
            else:
                yield sample
        if missing:
            raise DatasetError(
                f"there is no sample {', '.join(sorted(missing))} to exclude: rejected.jsonl and "
                f"train.jsonl of an earlier build name the ids"
            )

    def _batches(self, samples: Iterable[Sample], keys: deque[list[str]]) -> Iterator[Batch]:
        """Samples that are owed, encoded; `keys` gets the keys of every batch."""
        batch: dict[str, bytes] = {}
        size = 0
        for sample in samples:
            self._check(sample)
            encoded = encode_sample(sample)
            key = hashlib.blake2b(encoded, digest_size=16).hexdigest()
            if known := self._workspace.known(key):
                self._decisions.append(known)
                continue
            batch[key] = encoded
            size += len(encoded)
            if len(batch) == _BATCH_SAMPLES or size >= _BATCH_BYTES:
                keys.append(list(batch))
                yield list(batch.values())
                batch, size = {}, 0
        if batch:
            keys.append(list(batch))
            yield list(batch.values())

    def _check(self, sample: Sample) -> None:
        if sample.source not in self._sources:
            raise DatasetError(f"sample {sample.id} is of {sample.source}, which is not among the sources")
        identity = sample.source.run, sample.id
        if identity in self._seen:
            raise DatasetError(
                f"sample {sample.id} of run {sample.source.run} comes twice: give each run once"
            )
        self._seen.add(identity)
        self.profile = self.profile or sample.profile
        if sample.profile != self.profile:
            first, second = sorted((self.profile, sample.profile))
            raise DatasetError(
                f"the runs were made with two harness profiles, {first} and {second}, and a student can be "
                f"served with one only: build a dataset from each. An import gives all that it reads "
                f"the same tools with --tools"
            )


def _without(decisions: Sequence[Decision], settled: Settled, left_out: dict[int, Fault]) -> list[Decision]:
    """The decisions, with the reasons of rows that could not be proven."""
    faults = {_identity(settled.rows[number].figures): fault for number, fault in left_out.items()}
    found = []
    for decision in decisions:
        if fault := faults.get(_identity(decision.figures)):
            figures = msgspec.structs.replace(
                decision.figures, reason=fault.kind, detail=fault.message[:_DETAIL]
            )
            decision = msgspec.structs.replace(decision, parts=0, figures=figures)
        found.append(decision)
    return found


def _identity(figures: Figures) -> tuple[str, str]:
    return figures.run, figures.id


def _refuse_short(
    settled: Settled, config: DatasetConfig, parts: Sequence[Part], out: Path, first: Fault | None
) -> None:
    """A recipe is followed exactly, or with `allow_short` as far as it goes; nothing at all is an error.
    `first`: of the rows that could not be proven."""
    unproven = f". {FORCE}. First, {told(first)}" if first else _first_detail(settled)
    short = [
        f"`{part}` gets {got:,}"
        for part, got in zip(parts, settled.parts, strict=True)
        if part.count is not None and got < part.count
    ]
    if short and not config.allow_short:
        raise DatasetError(
            f"there are too few samples for the recipe: {'; '.join(short)}. Left out: "
            f"{_reasons(settled)}. Ask for fewer, give more runs, or take what there is with --allow-short"
            f"{unproven}"
        )
    if not settled.rows:
        undefined = any(figures.reason == Reason.UNDEFINED_CALL for figures in settled.rejected)
        cure = ". Their tools are not defined: import again, with --tools if need be" if undefined else ""
        raise DatasetError(f"no sample was selected for {out}: {_reasons(settled)}{cure}{unproven}")


def _first_detail(settled: Settled) -> str:
    """What was found in the first sample of which more is known than its reason."""
    told = next((figures for figures in settled.rejected if figures.detail), None)
    return f". First, {told.reason}: sample {told.id}: {told.detail}" if told else ""


def _write_rows(settled: Settled, workspace: Workspace, planter: Planter) -> Settled:
    """Write the files of rows; returns what is known of them now."""
    written = []
    with (workspace.new / ROWS).open("wb") as rows:
        for decision in settled.rows:
            final, line = planter.plant(decision, workspace.row(decision))
            written.append(final)
            rows.write(line)
    with (workspace.new / REJECTED).open("wb") as rejected:
        for figures in settled.rejected:
            rejected.write(json_line(figures))
    return settled._replace(rows=written)


def _describe(
    settled: Settled, config: DatasetConfig, sources: Sequence[Source], parts: Sequence[Part]
) -> Manifest:
    rows = settled.rows
    lengths = [row.tokens for row in rows]
    return Manifest(
        sources=tuple(sorted(sources, key=msgspec.structs.astuple)),
        profile="",
        teachers=tuple(msgspec.json.decode(teacher) for teacher in sorted({row.teacher for row in rows})),
        rehearsed=sum(is_rehearsal(msgspec.json.decode(row.teacher)) for row in rows),
        settings=config.recorded(),
        tokenizer="",
        lists=_lists(config),
        recipe=_mixed(settled, config, sources, parts),
        counts=_counts(settled),
        rows=len(rows),
        cut_rows=sum(row.figures.ratio != 1 for row in rows),
        untrained_turns=sum(row.untrained for row in rows),
        tokens=Tokens(total=sum(lengths), max=max(lengths), mean=round(sum(lengths) / len(lengths), 1)),
        files={},
    )


def _mixed(
    settled: Settled, config: DatasetConfig, sources: Sequence[Source], parts: Sequence[Part]
) -> Mixed | None:
    if not config.recipe:
        return None
    runs = [sources[part.run - 1].run if part.run else "" for part in parts]
    return Mixed(
        seed=config.seed,
        parts=tuple(
            PartCount(part=str(part), run=run, wanted=part.count, got=got, filters=told_filters(part, config))
            for part, run, got in zip(parts, runs, settled.parts, strict=True)
        ),
    )


def _counts(settled: Settled) -> dict[str, Count]:
    selected = Counter(str(row.figures.stage) for row in settled.rows)
    refused = Counter((str(figures.stage), figures.reason) for figures in settled.rejected)
    stages = sorted({*selected, *(stage for stage, _ in refused)})
    return {
        stage: Count(
            selected=selected[stage],
            rejected={
                reason: refused[stage, reason] for reason in (*Reason, *Kind) if refused[stage, reason]
            },
        )
        for stage in stages
    }


def _tallies(decisions: Sequence[Decision]) -> dict[str, int]:
    """What the steps counted in these samples."""
    total: Counter[str] = Counter()
    for decision in decisions:
        total.update(decision.tallies)
    return dict(sorted(total.items()))


def _reasons(settled: Settled) -> str:
    counts = Counter(figures.reason for figures in settled.rejected)
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items())) or "there was none"


def _lists(config: DatasetConfig) -> dict[str, str]:
    """The lists that samples were compared with: SHA-256 → name of the file."""
    files = [file for file in (config.held_out, *config.benchmarks.files) if file]
    with boundary(ConfigError, "a list of what must not be learnt cannot be read"):
        return {sha256(Path(file)): Path(file).name for file in files}


def _code() -> str:
    """Changes with the code that decides, so that nothing decided by other code is gone on with."""
    sera = Path(__file__).parent.parent
    parts = [sera / part for part in ("datasets", "formats", "redaction")]
    files = sorted(file for part in parts for file in part.rglob("*") if file.suffix in _CODE)
    return content_id(*(sha256(file) for file in files))
