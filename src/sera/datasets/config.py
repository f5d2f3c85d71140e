"""The settings of a dataset."""

from typing import Annotated, Any

import msgspec

from sera.agent.audit import kinds
from sera.records import Severity, Stage
from sera.settings import Config

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class DatasetConfig(Config, frozen=True):
    """What goes into a dataset, and how it is written."""

    format: str = "hermes"
    """How tool calls are written: `hermes` (JSON in text, what Qwen3 learnt), `xml` (as Qwen3-Coder) or
    `raw` (structured calls, for a trainer whose template knows them)."""
    stages: tuple[Stage, ...] = (Stage.T2,)
    """The rollouts to train on, `t1`, `t2` or both. T2 alone is the paper's setting for a general model."""
    min_recall: _Share = 0.5
    """Least recall of a T2, 0…1; the paper's threshold for a specialist. T1 is not judged by it."""
    max_patch_lines: _Count = 40
    """Longest patch in added and removed lines, the paper's filter for a specialist."""
    max_tool_tokens: _Count = 600
    """Highest mean length of a tool's answer in tokens, the paper's filter for a specialist."""
    exclude_findings: tuple[str, ...] = (Severity.CHEATING,)
    """What the audit may not have found: severities (`cheating`, `attempt`, `note`) and kinds of findings
    (see `docs/text-security.md`). What merely failed does no harm to the data."""
    max_tokens: _Count = 32_768
    """Longest row in tokens with the chat template's overhead: the context the student is trained with.
    A longer conversation is cut back to an assistant turn."""
    min_ratio: _Share = 0.88
    """Least share of a conversation's messages that must fit `max_tokens`; the paper's figure."""
    tokenizer: str = ""
    """Path of a `tokenizer.json`; empty looks in `$SERA_TOKENIZER`, then for an installed package that
    carries Qwen3's."""

    def __post_init__(self) -> None:
        known = {*Severity, *kinds()}
        if unknown := set(self.exclude_findings) - known:
            raise ValueError(f"unknown findings {sorted(unknown)}; there are {', '.join(sorted(known))}")

    def recorded(self) -> dict[str, Any]:
        """The settings as a dataset carries them: without the path, which means nothing elsewhere."""
        settings: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        del settings["tokenizer"]
        return settings
