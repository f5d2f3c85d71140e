"""What `sera prepare` can be told. Every step that is found out by itself can be overridden here."""

from typing import Annotated

import msgspec

from sera.sandboxes import NamespacesConfig, SandboxConfig
from sera.settings import Config, Count, Seconds

_TEXTS = ("python", "version", "exclude_newer", "exclude_newer_tools")


def as_texts(pairs: tuple[str, ...]) -> tuple[str, ...]:
    """Settings from a command line, with versions and dates quoted: `3.10` is no number."""
    return tuple(map(_as_text, pairs))


def _as_text(pair: str) -> str:
    key, _, value = pair.partition("=")
    name = key.strip().removeprefix("environment.")
    bare = name in _TEXTS and not value.strip().startswith(("'", '"'))
    return f'{key}="{value.strip()}"' if bare else pair


class EnvironmentConfig(Config, frozen=True):
    """How the repository is installed and tested. None means: find out."""

    python: str | None = None
    """Version of the interpreter, e.g. `3.11`, or the path of one. Else the project's demand decides."""
    version: str | None = None
    """Version the project is built as where it takes it from tags, which a snapshot does not have."""
    build: bool = True
    """False: do not run the project's own build; it is linked as it lies in the tree."""
    build_packages: tuple[str, ...] = ()
    """Packages its build needs beyond those that it declares, e.g. `cython`."""
    before_build: tuple[str, ...] = ()
    """Shell commands to run before the build, in the sandbox. The files they make count as built."""
    extras: tuple[str, ...] | None = None
    """Extras to install. None: those that tests are likely to need."""
    groups: tuple[str, ...] | None = None
    """Dependency groups (PEP 735, Poetry, PDM, hatch). None: those that tests are likely to need."""
    requirements: tuple[str, ...] | None = None
    """Requirements files in the repository. None: those that tests are likely to need."""
    packages: tuple[str, ...] = ()
    """Further packages, e.g. `pytest<8`."""
    locks: bool = True
    """Try the versions of a lock file (uv, Poetry, PDM) before the newest ones."""
    exclude_newer: str = ""
    """Take no dependency published after this date, e.g. `2024-06-01`; needs uv. Empty: after the day of the
    commit, if that is some weeks ago, and later ones where nothing usable comes of it; `none`: the newest."""
    exclude_newer_tools: str = ""
    """The same for pytest, its plugins and what builds the project. Empty: the day of the dependencies, or
    half a year after the Python that is used came out, if that is later; `none`: the newest."""
    index: str = ""
    """URL of the package index. Empty: as uv and pip are configured on this machine."""
    build_dependencies: bool = False
    """Allow dependencies without a wheel. Their build code then runs on this machine, with your rights."""
    import_names: tuple[str, ...] | None = None
    """What must be importable. None: what the project's build would install."""
    runner: str | None = None
    """`pytest`, `unittest`, `nose`, `django`, `sympy` or `none`. None: found out."""
    tests: tuple[str, ...] = ()
    """Where the tests are, for the runner. Empty: as the project says."""
    test_options: tuple[str, ...] = ()
    """Further options of the test runner."""


class CheckConfig(Config, frozen=True):
    """How far a new environment is tried out, in a sandbox."""

    tests: Annotated[int, msgspec.Meta(ge=0)] = 100
    """Tests to run, spread evenly over those collected."""
    seconds: Seconds = 300.0
    """Time for each of the steps: import, collection, the run of those tests."""


class PrepareConfig(Config, frozen=True):
    """Everything `sera prepare` can be told."""

    revision: str = ""
    """Commit, tag or branch to take instead of the working tree."""
    leave_out: tuple[str, ...] = ()
    """Files and directories that are no part of the snapshot, as patterns of a .gitignore, e.g. `data` or
    `*.npz`."""
    commits: Count | None = None
    """Take this many commits instead, evenly spaced over `since`."""
    since: str = "365d"
    """How far back `commits` reaches from the newest one: days as `365d`, or a date."""
    environment: EnvironmentConfig = msgspec.field(default_factory=EnvironmentConfig)
    check: CheckConfig = msgspec.field(default_factory=CheckConfig)
    sandbox: SandboxConfig = msgspec.field(default_factory=NamespacesConfig)
