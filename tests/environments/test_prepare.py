"""An environment from the tree to the sandbox, without any network."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from environment_support import PROJECT, fill_index, only, write_tree, write_wheel

from sera.environments import (
    Environment,
    PrepareConfig,
    find,
    installing,
    load,
    prepare,
    store,
    try_again,
)
from sera.environments.choosing import choose_environment
from sera.environments.commands import Log
from sera.environments.config import EnvironmentConfig, as_texts
from sera.environments.installers import Pip, Wanted, find_installer
from sera.environments.installing import _Choice
from sera.environments.interpreters import choose_interpreter, find_interpreters
from sera.environments.plan import make_plan
from sera.environments.prepare import _place
from sera.environments.standin import unbuilt, write_standin
from sera.errors import ConfigError, PrepareError, RunError
from sera.repositories import Snapshot, open_snapshot
from sera.sandboxes import CommandResult, NamespacesConfig, Sandbox, make_backend
from sera.settings import load_config

MADE = "src/tinycalc/_version.py"


@pytest.fixture(scope="module")
def cache_of_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the project is prepared once."""
    return tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="module", autouse=True)
def index(tmp_path_factory: pytest.TempPathFactory, cache_of_module: Path) -> object:
    """The only packages there are."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("index") / "wheels"
        fill_index(folder)
        for name, value in only(folder).items():
            patch.setenv(name, value)
        patch.setenv("SERA_CACHE", str(cache_of_module))
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("project"), PROJECT)


@pytest.fixture(scope="module")
def snapshot(project: Path) -> Snapshot:
    return open_snapshot(str(project))


@pytest.fixture(scope="module")
def environment(snapshot: Snapshot) -> Environment:
    return prepare(snapshot, PrepareConfig())


def inside(environment: Environment, work: Callable[[Sandbox], Awaitable[None]]) -> None:
    async def main() -> None:
        config = environment.sandbox(NamespacesConfig())
        async with make_backend(config, environment.layer) as backend, backend.sandbox() as box:
            await work(box)

    asyncio.run(asyncio.wait_for(main(), 300))


def test_it_is_built_and_tried_out(environment: Environment) -> None:
    checked = environment.checked
    assert (environment.name, environment.version, environment.built) == ("tinycalc", "1.5", True)
    assert checked.imports == {"tinycalc": True}
    assert (checked.collected, checked.passed, checked.failed, checked.skipped) == (4, 2, 1, 1)
    assert [trouble.cause for trouble in checked.troubles] == [
        "it needs the network, which a sandbox does not have"
    ]
    assert environment.works
    assert environment.made == (MADE,)
    assert not Path("/tmp/sera-test-built-on-this-machine").exists()


def test_what_was_dropped_or_replaced_is_said(environment: Environment) -> None:
    said = "\n".join(environment.warnings)
    assert "dropped extra tests: the index does not have nowhere-to-be-found" in said
    assert "the copy of tinycalc in the package companion now leads to the working tree" in said
    assert "far @ https://example.org/far.zip" in said


def test_in_a_sandbox(environment: Environment) -> None:
    async def work(box: Sandbox) -> None:
        async def run(command: str) -> CommandResult:
            return await box.run(command, 120)  # the whole disk is looked through below

        places = await run(
            "cd /tmp && python -c 'import tinycalc, companion._vendor.tinycalc as c; print(tinycalc.__file__, c.double(2))'"
        )
        assert places.output == "/testbed/src/tinycalc/__init__.py 4\n"
        assert (await run("tinycalc && cd /testbed")).output == "42\n"
        assert {"tinycalc==1.5", "companion==3.0"} <= set(environment.checked.packages)
        assert "tinycalc" in (await run("pip list")).output
        found = await run(
            "find / '(' -path /proc -o -path /sys ')' -prune -o -name '*tinycalc*' ! -path '/testbed/*' ! -name '*.dist-info' ! -name '*.pth' ! -path '*/bin/tinycalc' -print 2>/dev/null"
        )
        assert found.output.split() == [
            str(
                environment.prefix
                / "lib"
                / _version(environment)
                / "site-packages/companion/_vendor/tinycalc"
            )
        ]
        for folder in environment.hidden:
            assert (await run(f"ls -A {folder}")).output == ""
        assert (await run("git status --short")).output == ""
        assert await box.patch() == ""
        await run(f"echo >> src/tinycalc/__init__.py; echo >> {MADE}; echo > new.py")
        patch = await box.patch()
        assert "new.py" in patch
        assert "src/tinycalc/__init__.py" in patch
        assert "_version.py" not in patch

    inside(environment, work)


def test_nothing_is_installed_in_a_sandbox(environment: Environment) -> None:
    async def work(box: Sandbox) -> None:
        refused = await box.run("pip install six", 60)
        assert refused.exit_code == 1
        assert "No matching distribution found for six" in refused.output
        assert (await box.run(f"touch {environment.prefix}/new", 10)).exit_code != 0

    inside(environment, work)


def _version(environment: Environment) -> str:
    return "python" + ".".join(environment.plan.interpreter.version.split(".")[:2])


def test_the_second_time_it_is_there(snapshot: Snapshot, environment: Environment) -> None:
    started, steps = time.monotonic(), list[str]()
    assert prepare(snapshot, PrepareConfig(), told=steps.append) == environment
    assert steps == []
    assert time.monotonic() - started < 5
    assert find(snapshot.tree_hash, None) == [environment]
    assert load(environment.tree.parent) == environment


def test_it_can_be_tried_out_again(snapshot: Snapshot, environment: Environment) -> None:
    assert try_again(snapshot, PrepareConfig()).checked == environment.checked
    with pytest.raises(PrepareError, match="without --check"):
        try_again(snapshot, load_config(PrepareConfig, pairs=as_texts(("environment.version=3.10",))))


def test_another_commit_with_the_same_dependency_files(environment: Environment, tmp_path: Path) -> None:
    later = open_snapshot(str(write_tree(tmp_path, {**PROJECT, "src/tinycalc/more.py": "x = 1\n"})))
    config = load_config(PrepareConfig, pairs=["check.tests=0"])
    other = prepare(later, config)
    assert other.prefix == environment.prefix
    assert other.tree != environment.tree
    assert other.layer.commit != environment.layer.commit
    (other.tree.parent / store.RECORD).unlink()  # as if its builder had been killed at the very end
    (other.tree / "half").write_text("")
    again = prepare(later, config)
    assert again.tree == other.tree
    assert not (again.tree / "half").exists()


def test_a_build_that_fails_is_said_and_done_without(environment: Environment, tmp_path: Path) -> None:
    broken = {**PROJECT, "backend/inhouse.py": "import nothing_of_this_name\n"}
    found = prepare(
        open_snapshot(str(write_tree(tmp_path, broken))), load_config(PrepareConfig, pairs=["check.tests=0"])
    )
    assert not found.built
    assert "a module is missing: nothing_of_this_name" in found.warnings[0]
    assert found.checked.imports == {"tinycalc": True}
    assert not found.works, "the tests need the file that only the build makes"


def test_a_build_that_installs_none_of_the_modules(environment: Environment, tmp_path: Path) -> None:
    """As of a package that its setup.cfg still calls a module: its tests run, so it can be worked with."""
    packs = 'pathlib.Path("src").rglob("*.py")'
    empty = (
        PROJECT["backend/inhouse.py"]
        .replace(packs, "[]")
        .replace("tinycalc/_version", "tinycalc-1.5.dist-info/v")
    )
    files = {**PROJECT, "backend/inhouse.py": empty, "src/tinycalc/_version.py": 'version = "0.0.0"\n'}
    found = prepare(
        open_snapshot(str(write_tree(tmp_path, files))), load_config(PrepareConfig, pairs=["check.tests=0"])
    )
    assert found.built
    assert found.checked.imports == {"tinycalc": True}
    assert found.works, found.why_not
    assert any(
        line.endswith("installs none of its modules, so they are linked as they lie in the tree: tinycalc")
        for line in found.warnings
    )


def test_dependencies_that_cannot_be_had_are_an_error(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[project]\nname = "x"\nversion = "1"\ndependencies = ["nowhere-to-be-found"]\n',
        "x.py": "",
    }
    snapshot = open_snapshot(str(write_tree(tmp_path, files)))
    config = load_config(PrepareConfig, pairs=["environment.build=false"])
    with pytest.raises(PrepareError, match="the index does not have nowhere-to-be-found") as failure:
        prepare(snapshot, config)
    log = Path(str(failure.value).rpartition("see ")[2].rstrip(")"))
    assert "nowhere-to-be-found" in log.read_text()
    assert find(snapshot.tree_hash, None) == []


def test_a_run_chooses_its_environment(snapshot: Snapshot, environment: Environment, tmp_path: Path) -> None:
    box = NamespacesConfig()
    path = str(environment.tree.parent)
    assert choose_environment("none", snapshot, box, None) is None
    assert choose_environment(path, snapshot, box, None) == environment
    assert choose_environment("auto", snapshot, box, environment.digest) == environment
    assert choose_environment("auto", snapshot, box, "") is None
    with pytest.raises(RunError, match="which is gone"):
        choose_environment("auto", snapshot, box, "0123456789abcdef")
    other = open_snapshot(str(write_tree(tmp_path, {"a.py": ""})))
    assert choose_environment("auto", other, box, None) is None
    with pytest.raises(ConfigError, match="of other files"):
        choose_environment(path, other, box, None)
    with pytest.raises(ConfigError, match=r"sandbox\.workdir is /elsewhere"):
        choose_environment(path, snapshot, NamespacesConfig(workdir="/elsewhere"), None)


def test_without_uv(tmp_path: Path) -> None:
    installer, prefix, log = Pip(), tmp_path / "prefix", Log(tmp_path / "log")
    installer.create(prefix, find_interpreters()[0], log)
    wanted = Wanted(requirements=("companion",))
    installer.resolve(prefix, wanted, log)
    assert not list(prefix.glob("lib/python3*/site-packages/companion"))
    installer.install(prefix, wanted, log)
    assert list(prefix.glob("lib/python3*/site-packages/companion"))


def test_an_interpreter_that_fits() -> None:
    own = find_interpreters()[0]
    assert choose_interpreter(None, ">=3.8", ["3.9", f"3.{own.release[1]}"], "")[0] == own
    assert (
        choose_interpreter(f"{own.release[0]}.{own.release[1]}", "", [], "")[0].release[:2] == own.release[:2]
    )
    assert choose_interpreter(str(own.path), ">=99", [], "")[0].version == own.version
    with pytest.raises(PrepareError, match=r"needs Python >=99.*uv python install"):
        choose_interpreter(None, ">=99", [], "")
    with pytest.raises(PrepareError, match=r"no Python 3\.1 on this machine"):
        choose_interpreter("3.1", "", [], "")


def test_what_goes_in_is_in_the_key(tmp_path: Path, index: object) -> None:
    """A twin whose build says more, in whatever spelling, has an environment of its own."""
    quick = load_config(PrepareConfig, pairs=["check.tests=0"])

    def prepared(name: str, more: str) -> Environment:
        backend = (
            PROJECT["backend/inhouse.py"]
            .replace("Name: tinycalc", "Name: twin")
            .replace("companion\n", f"pip\n{more}", 1)
        )
        files = {
            **PROJECT,
            "backend/inhouse.py": backend,
            "pyproject.toml": PROJECT["pyproject.toml"].replace('"tinycalc"', '"twin"'),
        }
        return prepare(open_snapshot(str(write_tree(tmp_path / name, files))), quick)

    first = prepared("first", "requires-dist: companion\n")
    second = prepared("second", "")
    assert "companion==3.0" in first.checked.packages
    assert "companion==3.0" not in second.checked.packages
    assert first.prefix != second.prefix
    assert prepared("third", "Requires-External: glass\n").prefix == second.prefix, (
        "what is left out does not count"
    )


def test_a_version_given_later_counts(tmp_path: Path, index: object) -> None:
    files = {"pyproject.toml": '[project]\nname = "dated"\ndynamic = ["version"]\n', "dated.py": ""}
    snapshot = open_snapshot(str(write_tree(tmp_path, files)))
    pairs = ["environment.build=false", "check.tests=0"]
    first = prepare(snapshot, load_config(PrepareConfig, pairs=pairs))
    tagged = prepare(snapshot, load_config(PrepareConfig, pairs=pairs), version="2.5")
    given = prepare(snapshot, load_config(PrepareConfig, pairs=as_texts((*pairs, "environment.version=3.1"))))
    found = [one for made in (first, tagged, given) for one in made.checked.packages if "dated" in one]
    assert found == ["dated==0.0.0", "dated==2.5", "dated==3.1"]


def test_many_requirements_of_which_few_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are found without asking for each; and where very many cannot, the asking ends."""
    fill_index(tmp_path / "wheels")
    have, log = [f"have{n}" for n in range(64)], Log(tmp_path / "log")
    for name in have:
        write_wheel(tmp_path / "wheels", name, "1.0", {})
    for name, value in only(tmp_path / "wheels").items():
        monkeypatch.setenv(name, value)
    installer = find_installer()
    installer.create(tmp_path / "prefix", find_interpreters()[0], log)

    def chosen(lines: list[str]) -> tuple[tuple[str, ...], list[str], int]:
        log.path.write_text("")
        tree = write_tree(tmp_path / "p", {**PROJECT, "requirements-test.txt": "\n".join(lines)})
        snapshot = open_snapshot(str(tree), tmp_path / "cache")
        plan = make_plan(snapshot, EnvironmentConfig(extras=(), build=False), "/work")
        standin, _ = write_standin(unbuilt(plan, snapshot.tree), tmp_path, "/work")
        wanted, dropped = _Choice(installer, tmp_path / "prefix", plan, standin, log).make()
        return wanted.requirements, dropped, log.path.read_text().count("--dry-run")

    found, dropped, tries = chosen([*have[:40], "lost-one", *have[40:], "lost-two"])
    assert found == tuple(have)
    assert [one.partition(" ")[0] for one in dropped] == ["lost-one", "lost-two"]
    assert tries < 30
    monkeypatch.setattr(installing, "_MOST_TRIED", 10)
    found, dropped, tries = chosen([f"lost{n}" for n in range(2000)])
    assert found == ()
    assert tries <= 11
    assert "not tried" in dropped[-1]


def test_what_the_sandbox_and_the_installer_are_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of the sandbox reach the build; uv and pip choose otherwise. A login of the index does neither."""
    backend = PROJECT["backend/inhouse.py"].replace(
        '["SETUPTOOLS_SCM_PRETEND_VERSION"]', '.get("FLAVOUR", "plain")'
    )
    files = {**PROJECT, "backend/inhouse.py": backend, "README": "of flavours"}
    snapshot = open_snapshot(str(write_tree(tmp_path, files)))

    def prepared(*pairs: str) -> Environment:
        return prepare(snapshot, load_config(PrepareConfig, pairs=["check.tests=0", *pairs]))

    plain = prepared()
    sweet = prepared('sandbox.environment={FLAVOUR="sweet"}')
    assert (sweet.tree / MADE).read_text() == "version = 'sweet'\n"
    assert (plain.tree / MADE).read_text() == "version = 'plain'\n"
    with monkeypatch.context() as patch:
        patch.setattr("sera.environments.installers._uv", lambda: "")
        assert prepared().prefix != plain.prefix

    def place(login: str, name: str = "simple") -> Path:
        pairs = [f'environment.index="https://{login}@index.example/{name}"']
        return _place(snapshot, load_config(PrepareConfig, pairs=pairs), None, "")[1]

    assert place("me:old") == place("me:new")
    assert place("me:old") != place("me:old", "nightly")


def test_an_entry_of_the_cache_that_is_another_s_is_none(
    snapshot: Snapshot, environment: Environment, tmp_path: Path
) -> None:
    backend = PROJECT["backend/inhouse.py"].replace("Version: 1.5", "Version: 8.8")
    files = {**PROJECT, "backend/inhouse.py": backend}
    other = prepare(open_snapshot(str(write_tree(tmp_path, files))), PrepareConfig())
    for mine, foreign, record in (
        (environment.tree.parent, other.tree.parent, store.RECORD),
        (environment.prefix.parent, other.prefix.parent, "installed.json"),
    ):
        shutil.copy(foreign / record, mine / record)
        again = prepare(snapshot, PrepareConfig())
        assert (again.version, again.prefix) == ("1.5", environment.prefix)
        assert "tinycalc==1.5" in again.checked.packages
        (environment.tree.parent / store.RECORD).unlink()
    prepare(snapshot, PrepareConfig())
