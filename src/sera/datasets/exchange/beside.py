"""What a line of a set says beside its messages: the columns that several formats share.

    instance_id or id, model_patch or patch, exit_status, stage, repository, commit, model or teacher

A table writes null where there is nothing, and sets number their rows.
"""

from typing import Any

import msgspec

from sera.datasets.exchange.ends import end_of
from sera.records import Stage


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The columns; what is not there is None, like what is null."""

    instance_id: str | int | None = None
    id: str | int | None = None
    model_patch: str | None = None
    patch: str | None = None
    exit_status: str | None = None
    stage: Stage | None = None
    repository: str | None = None
    commit: str | None = None
    model: str | None = None
    teacher: str | None = None

    def told(self) -> dict[str, Any]:
        """The fields of a `Trajectory` that these columns are."""
        names = (str(name) for name in (self.instance_id, self.id) if name not in (None, ""))
        return {
            "name": next(names, ""),
            "end": end_of(self.exit_status) if self.exit_status else None,
            "patch": self.patch if self.model_patch is None else self.model_patch,
            "stage": self.stage,
            "model": self.model or self.teacher or "",
            "repository": self.repository or "",
            "commit": self.commit or "",
        }
