"""A folder that is there whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sera.datasets.manifest import is_ours
from sera.errors import DatasetError


@contextmanager
def replacing(out: Path, ours: Callable[[Path], bool] = is_ours) -> Iterator[Path]:
    """Yields a workspace beside `out`; what the block leaves in its `new` folder becomes `out`.

    If the block raises, `out` stays as it was. What else is in the workspace is removed. Only an empty
    folder, or one that is `ours` (by default a dataset), is replaced; `DatasetError` names anything else
    before the block runs.
    """
    out = out.resolve()
    refuse_foreign(out, ours)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        workspace = Path(name)
        new, old = workspace / "new", workspace / "old"
        new.mkdir()
        yield workspace
        put_in_place(new, out, old)


def refuse_foreign(out: Path, ours: Callable[[Path], bool] = is_ours) -> None:
    """`DatasetError` if there is something in the place of `out` that must not be replaced."""
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or ours(out))):
        raise DatasetError(f"{out} holds something other than what sera writes there: choose another folder")


def put_in_place(new: Path, out: Path, old: Path) -> None:
    """Rename `new` to `out`, and what was there to `old`; if it cannot be done, all is as before."""
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
