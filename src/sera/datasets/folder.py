"""A folder that is there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sera.datasets.manifest import is_ours
from sera.errors import DatasetError


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yields a workspace beside `out`; what the block leaves in its `new` folder becomes `out`.

    If the block raises, `out` stays as it was. What else is in the workspace is removed. Only an empty
    folder or a dataset of ours is replaced; `DatasetError` names anything else before the block runs.
    """
    out = out.resolve()
    if out.exists() and not _replaceable(out):
        raise DatasetError(f"{out} holds something other than a dataset of sera's: choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        workspace = Path(name)
        new, old = workspace / "new", workspace / "old"
        new.mkdir()
        yield workspace
        if out.exists():
            out.rename(old)
        try:
            new.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise


def _replaceable(out: Path) -> bool:
    return out.is_dir() and (not any(out.iterdir()) or is_ours(out))
