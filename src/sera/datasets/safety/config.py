"""The settings of the scan and of canaries. None holds a secret: they name where secrets are."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from sera.datasets.safety.rules import Group, kinds
from sera.redaction import RedactionConfig
from sera.redaction.values import known_values
from sera.settings import Config

Action = Literal["redact", "drop", "report", "ignore"]
"""What becomes of a value: a placeholder in its place, the whole sample left out, only counted, nothing."""


class SafetyConfig(Config, frozen=True):
    """Secrets and personal data in the samples. See `docs/data-safety.md`."""

    secrets: Action = "redact"
    """Tokens, passwords, private keys and known values: `redact`, `drop` the sample, `report` or `ignore`."""
    suspicions: Action = "report"
    """Strings that look random and that nothing calls a secret; test data has many."""
    personal: Action = "redact"
    """Mail addresses, telephone numbers, public IP addresses, home directories and the like that stand only
    in prompts and in what the agent wrote."""
    repository_personal: Action = "report"
    """The same where a tool has shown it: the repository's own text, with its authors. Redact it for a
    repository that is not public, and for conversations recorded on somebody's own machine."""
    kinds: dict[str, Action] = {}  # noqa: RUF012 - msgspec copies it
    """What is done about single kinds (`e-mail`, `jwt`, …), before what their group says."""
    variables: tuple[str, ...] = ()
    """Environment variables whose values are secret. Those whose names sound so are taken unasked."""
    harmless: tuple[str, ...] = ()
    """Environment variables whose values are not secret although their names sound so."""
    file: Path | None = None
    """File with a secret on each line, in UTF-8."""
    allow: tuple[str, ...] = ()
    """Values that are no finding: patterns of whole values, without regard to case, such as
    `.*@our-lists[.]org`."""
    canaries: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Rows that a canary is planted in, to measure later how much the student has memorised."""
    canary_seed: int = 0
    """Decides which rows, and what the canaries say."""

    def __post_init__(self) -> None:
        known = kinds()
        if unknown := set(self.kinds) - set(known):
            raise ValueError(f"unknown kinds {sorted(unknown)}; there are {', '.join(sorted(known))}")
        for pattern in self.allow:
            try:
                re.compile(pattern)
            except re.error as problem:
                raise ValueError(f"`allow` has {pattern!r}, which is no pattern: {problem}") from problem

    def action(self, kind: str, group: Group, shown: bool) -> Action:
        """What is done about a value; `shown`: a tool's answer holds it."""
        default: dict[Group, Action] = {
            Group.SECRET: self.secrets,
            Group.SUSPICION: self.suspicions,
            Group.PERSONAL: self.repository_personal if shown else self.personal,
        }
        return self.kinds.get(kind, default[group])

    def recorded(self) -> dict[str, Any]:
        """The settings as a dataset carries them: without the names of what is secret on this machine."""
        settings: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self, enc_hook=str))
        for key in ("variables", "harmless", "file"):
            del settings[key]
        return settings


def known(config: SafetyConfig, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Every value that is secret on this machine, longest first. Raises `ConfigError`,
    which never names a value, if a variable is not set or the file cannot be read."""
    naming = RedactionConfig(variables=config.variables, harmless=config.harmless, file=config.file)
    return known_values(naming, environment)
