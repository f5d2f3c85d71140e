"""The settings of a dataset."""

from typing import Annotated, Any, Literal

import msgspec

from sera.agent.audit import kinds
from sera.datasets.safety.config import SafetyConfig, known
from sera.datasets.selection.config import Balance, Benchmarks, NearDuplicates
from sera.formats.thinking import Think
from sera.records import Severity, Stage, content_id
from sera.settings import Config

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class DatasetConfig(Config, frozen=True):
    """What goes into a dataset, and how it is written."""

    format: str = "hermes"
    """How tool calls are written: `hermes` (JSON in text, what Qwen3 learnt), `xml` (as Qwen3-Coder) or
    `raw` (structured calls, for a trainer whose template knows them)."""
    recipe: str = ""
    """How many samples of which kind, e.g. `3000 T2 r>=0.5 + 5000 T1`, or the name of a recipe that ships
    with sera; see `docs/datasets.md`. Empty takes everything that passes."""
    allow_short: bool = False
    """Whether a recipe may get fewer samples than it asks for."""
    exclude: tuple[str, ...] = ()
    """Ids of samples to leave out, as `train.jsonl`, `rejected.jsonl` and faults name them."""
    seed: int = 0
    """Of every choice between samples."""
    stages: tuple[Stage, ...] = (Stage.T2,)
    """The rollouts to train on, `t1`, `t2` or both, where the recipe names none. T2 alone is the paper's
    setting for a general model."""
    min_recall: _Share = 0.5
    """Least recall of a T2, 0…1; the paper's threshold for a specialist. T1 is not judged by it. This and the
    next five hold for each part of a recipe that does not say otherwise."""
    recall_by: str = "recall"
    """The measure that `min_recall` is of: any share in `Agreement`, e.g. `precision` or `file_recall`."""
    max_patch_lines: _Count = 40
    """Longest patch in added and removed lines, the paper's filter for a specialist."""
    max_patch_files: _Count = 0
    """Most files that a patch may change; 0: any number."""
    max_tool_tokens: _Count = 600
    """Highest mean length of a tool's answer in tokens, the paper's filter for a specialist."""
    max_answer_tokens: _Count = 0
    """Longest single answer of a tool in tokens; 0: any length."""
    min_ratio: _Share = 0.88
    """Least share of a conversation's messages that must fit `max_tokens`; the paper's figure. 1 takes whole
    conversations only."""
    exclude_findings: tuple[str, ...] = (Severity.CHEATING,)
    """What the audit may not have found: severities (`cheating`, `attempt`, `note`) and kinds of findings
    (see `docs/text-security.md`). What merely failed does no harm to the data."""
    undefined_calls: Literal["mask", "drop"] = "mask"
    """What becomes of a call of a tool that is not defined, or with arguments that its definition does not
    allow (unknown, missing, wrong): `mask` leaves its turn out of the loss, `drop` leaves out the sample."""
    issue_language: Literal["any", "english"] = "any"
    """Language that the issue text of a T2 must be in."""
    held_out: str = ""
    """File of modules and functions kept for evaluation, one `path` or `path:function` a line."""
    benchmarks: Benchmarks = msgspec.field(default_factory=Benchmarks)
    near: NearDuplicates = msgspec.field(default_factory=NearDuplicates)
    balance: Balance = msgspec.field(default_factory=Balance)
    safety: SafetyConfig = msgspec.field(default_factory=SafetyConfig)
    max_tokens: _Count = 32_768
    """Longest row in tokens with the chat template's overhead: the context the student is trained with.
    A longer conversation is cut back to an assistant turn."""
    truncation: Literal["ordered", "random"] = "ordered"
    """`ordered`: cut as late as possible, whole conversations chosen first. `random`, the paper's ablation:
    cut at an assistant turn drawn by the seed and chosen by the seed alone; `min_ratio` does not apply."""
    tokenizer: str = ""
    """Path of a `tokenizer.json`; empty looks in `$SERA_TOKENIZER`, then for an installed package that
    carries Qwen3's."""
    student: str = ""
    """The student's family, `qwen3`, `qwen2.5` or `smollm2`, or its folder; empty recognises the family by
    its tokenizer."""
    template: str = ""
    """Chat template to train and serve with: `chatml`, the paper's, or a file. Empty: that of the folder, and
    `chatml` for a family."""
    think: Think = Think.KEEP
    """What becomes of reasoning: `keep`, `drop`, `only` (the text beside it goes) or `wrap` (the text becomes
    reasoning)."""
    workers: _Count = 0
    """Processes that render, count and prove; 0: one for each core, if there is enough to do. Does not
    change the dataset."""

    def __post_init__(self) -> None:
        known = {*Severity, *kinds()}
        if unknown := set(self.exclude_findings) - known:
            raise ValueError(f"unknown findings {sorted(unknown)}; there are {', '.join(sorted(known))}")

    def recorded(self) -> dict[str, Any]:
        """The settings as a dataset carries them: without paths, which mean nothing elsewhere."""
        shown = msgspec.structs.asdict(self) | {"safety": self.safety.recorded()}
        settings: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(shown, enc_hook=str))
        for key in ("tokenizer", "student", "template", "workers", "held_out"):
            del settings[key]
        del settings["benchmarks"]["files"]
        return settings

    def deciding(self) -> dict[str, Any]:
        """The settings by which a sample is judged, rendered and counted on its own, those of the recipe's
        parts left out."""
        settings = self.recorded()
        for key in ("recipe", "allow_short", "balance", "near", "exclude", "seed"):
            if key != "seed" or self.truncation != "random":
                del settings[key]
        return settings | {"signed": self.near.signed, "known": content_id(*known(self.safety))}
