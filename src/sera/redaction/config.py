"""The settings of redaction. None of them holds a secret: they name where secrets are."""

from pathlib import Path
from typing import Any, Literal

from sera.redaction.shapes import shapes
from sera.settings import Config


class RedactionConfig(Config, frozen=True):
    """Which texts are secret, and what becomes of them."""

    mode: Literal["redact", "refuse", "off"] = "redact"
    """`redact` puts a placeholder in a secret's place, `refuse` withholds an observation that holds one
    whole, `off` lets everything through. See `docs/text-security.md`."""
    variables: tuple[str, ...] = ()
    """Environment variables whose values are secret, however short. Those whose names sound like a secret
    (KEY, TOKEN, PASSWORD, …) and whose values look random are taken without being named."""
    harmless: tuple[str, ...] = ()
    """Environment variables whose values are not secret although their names sound so."""
    file: Path | None = None
    """File with a secret on each line, in UTF-8."""
    ignore: tuple[str, ...] = ()
    """Kinds of tokens that are let through, named as in placeholders: `jwt` for a project about them."""

    def __post_init__(self) -> None:
        known = {*(shape.kind for shape in shapes()), "private-key"}
        if unknown := set(self.ignore) - known:
            raise ValueError(f"unknown kinds {sorted(unknown)}; there are {', '.join(sorted(known))}")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides what the data are like. Which values are secret is not part of it: that depends on
        the machine, and a resumed run may know of more."""
        return {"mode": self.mode, "ignore": sorted(self.ignore)}
