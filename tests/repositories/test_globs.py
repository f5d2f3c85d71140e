"""Patterns of paths mean what they mean in `.gitignore`."""

import pytest
from repository_support import git, repository

from sera.errors import ConfigError
from sera.repositories.globs import Globs

PATHS = (
    "a.csv", "noxfile.py", "docs/conf.py", "docs/deep/x.csv", "pkg/docs/y.py", "pkg/noxfile.py", "pkg/docsy.py",
    "data/a/b/z.npz", "data/z.npz", "pkg/a[1].py", "pkg/b1.py", "pkg/.hidden/x.py",
)  # fmt: skip
PATTERNS = (
    "docs", "docs/", "/docs", "*.csv", "/noxfile.py", "noxfile.py", "data/**/*.npz", "data/**", "**/docs", "pkg/*.py",
    "pkg/?1.py", "pkg/[ab]1.py", "pkg/[!a]1.py", "pkg", "*", "pkg/**/x.py", "doc*", "data/*/b", ".*",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_as_git_would_ignore_them(tmp_path_factory: pytest.TempPathFactory, pattern: str) -> None:
    root = repository(tmp_path_factory.mktemp("r"), {})
    (root / ".git/info/exclude").write_text(pattern + "\n")
    said = git(root, "check-ignore", "--no-index", "--verbose", "--non-matching", "--", *PATHS).splitlines()
    ignored = [path for path, line in zip(PATHS, said, strict=True) if not line.startswith("::")]
    assert [path for path in PATHS if Globs([pattern]).match(path)] == ignored


def test_what_matches_nothing_is_told_apart() -> None:
    globs = Globs(["docs/", "typo/**"])
    assert globs.idle(PATHS) == ("typo/**",)
    assert not Globs([])


@pytest.mark.parametrize("pattern", ["", "/", "../x", "!docs", "[z-a]", "x" * 2000])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ConfigError, match="no pattern of paths"):
        Globs([pattern])
