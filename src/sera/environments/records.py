"""What a prepared environment is, as it stands in the cache beside it."""

from pathlib import Path

import msgspec

from sera.environments.plan import Plan
from sera.records import SCHEMA, Layer, Record, content_id
from sera.sandboxes import SandboxConfig

_OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "UV_OFFLINE": "1",
    "UV_PYTHON_DOWNLOADS": "never",
}
"""A sandbox has no network: what would install says so at once instead of trying for minutes."""


class Trouble(Record, frozen=True):
    """Something that did not work, and why."""

    what: str
    """Of a test or a module, its name; else the step."""
    cause: str
    cure: str
    said: str
    """The line that tells."""
    times: int = 1
    """How many tests or modules failed of this cause; `what` is the first."""


class Checked(Record, frozen=True):
    """What was tried in a sandbox."""

    imports: dict[str, bool] = msgspec.field(default_factory=dict)
    """Module → whether it is imported, from the working tree."""
    packages: tuple[str, ...] = ()
    """Everything that `pip list` names in the sandbox, as `name==version`."""
    collected: int | None = None
    """Tests found; None: nothing was found out."""
    counted: str = "runner"
    """Who counted them: the `runner`, or our reading of the `source` where the runner cannot say."""
    unreadable: int = 0
    """Test files that could not be collected."""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    missing: int = 0
    """Tests of the sample that did not end."""
    timed_out: bool = False
    """The sample of tests was not through in time; counts are of those that ended."""
    troubles: tuple[Trouble, ...] = ()

    @property
    def ran(self) -> int:
        """Tests run, skipped ones included."""
        return self.passed + self.failed + self.skipped

    def told(self, what: str = "") -> str:
        """The cause of a trouble, that of `what` or else the most frequent, and the line that tells."""
        one = next((one for one in self.troubles if one.what == what), next(iter(self.troubles), None))
        return f": {one.cause} [{one.said}]" if one else ""

    @property
    def imported(self) -> bool:
        return bool(self.imports) and all(self.imports.values())


class Environment(Record, frozen=True):
    """A repository at one moment, with all that is needed to run it. Read-only, shared by all sandboxes."""

    key: str
    """Identity: hash of the snapshot, the plan, the interpreter and the version of the builder."""
    tree_hash: str
    """Of the snapshot."""
    commit: str
    """The one commit of the layer: the snapshot's own."""
    tree: Path
    """The snapshot's files and those that the build made, which git is told to ignore."""
    prefix: Path
    """The virtual environment, in which the project is linked to the working tree."""
    workdir: str
    """Where the working tree must be seen."""
    mounts: tuple[Path, ...]
    """Directories that must be seen, read-only, at their own path: the prefix and its interpreter."""
    hidden: tuple[Path, ...]
    """Directories below those, and of the system, that must not be seen: packages of other environments."""
    name: str
    version: str
    plan: Plan
    log: Path
    """Of the build."""
    source: str = ""
    """What was named, without credentials."""
    origin_commit: str = ""
    dirty: bool = False
    """Whether changes that were not committed were part of the tree."""
    built: bool = False
    """Whether the project's own build ran through."""
    made: tuple[str, ...] = ()
    """Paths in the tree of files that it made."""
    warnings: tuple[str, ...] = ()
    """What was dropped, repaired or could not be done, a sentence each."""
    checked: Checked = Checked()
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Step → seconds it took; a step that was found done is missing."""
    schema: int = SCHEMA

    @property
    def layer(self) -> Layer:
        """The tree as a sandbox backend takes it."""
        return Layer(tree=self.tree, commit=self.commit)

    @property
    def digest(self) -> str:
        """Identity of what is really installed: what a run records."""
        return content_id(self.key, self.checked.packages)

    @property
    def works(self) -> bool:
        """Whether the project can be imported and its tests, if it has any, are found."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why it is not usable; empty if it is."""
        checked, suite = self.checked, self.plan.suite
        if not checked.imports:
            return "no module was found that could be imported: name them with environment.import_names"
        if missing := [name for name, works in checked.imports.items() if not works]:
            return f"import {missing[0]} fails{checked.told(f'import {missing[0]}')}"
        if suite.runner == "none" or checked.collected or self.has_no_tests:
            return ""
        return f"{suite.runner} finds no tests{checked.told()}"

    @property
    def has_no_tests(self) -> bool:
        """Whether the tree holds none, by the names of its files and by its runner."""
        checked, suite = self.checked, self.plan.suite
        return not (suite.files or checked.collected or checked.unreadable or checked.troubles)

    @property
    def variables(self) -> dict[str, str]:
        """What commands inside have in their environment."""
        return {**_OFFLINE, "VIRTUAL_ENV": str(self.prefix)}

    def sandbox(self, config: SandboxConfig) -> SandboxConfig:
        """Settings of sandboxes in which this environment is in use."""
        return msgspec.structs.replace(
            config,
            python=self.prefix,
            hidden=tuple(dict.fromkeys((*config.hidden, *self.hidden))),
            environment=self.variables | config.environment,
        )
