"""A prepared environment in containers: mounted, and in an image that holds it. Slow: `make soak`."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import IMAGE, EngineAtHand, docker_engine, in_use
from environment_support import PROJECT, fill_index, only, write_tree

from sera.environments import Environment, store
from sera.errors import SandboxError
from sera.sandboxes.containers.backend import Containers
from sera.sandboxes.containers.config import DockerConfig

pytestmark = pytest.mark.soak

HELD = "sera-test:environment"


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineAtHand]:
    with in_use(docker_engine()) as engine:
        yield engine


def sera(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "sera", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, engine: EngineAtHand) -> Iterator[Path]:
    """A project, an index of wheels, and a cache where containers have nothing of their own."""
    place = tmp_path_factory.mktemp("images")
    fill_index(place / "wheels")
    write_tree(place / "project", PROJECT)
    with (
        tempfile.TemporaryDirectory(dir=Path.home(), prefix=".sera-test-") as cache,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**only(place / "wheels"), "SERA_CACHE": cache}.items():
            patch.setenv(name, value)
        yield place / "project"


@pytest.fixture(scope="module")
def environment(project: Path) -> Environment:
    told = sera("prepare", project, "--image", HELD, "--base", IMAGE, "--json")
    assert f"--set sandbox.image={HELD}" in told.stderr
    return store.load(Path(json.loads(told.stdout)[0]["path"]))


def check(environment: Environment, **settings: Any) -> None:
    async def scene() -> None:
        config = environment.sandbox(DockerConfig(**settings))
        async with Containers(environment.layer, config) as backend, backend.sandbox() as box:
            told = await box.run("python -c 'import sys, tinycalc; print(sys.prefix, tinycalc.__file__)'", 20)
            assert told.exit_code == 0, told.output
            assert told.output.split() == [str(environment.prefix), f"{box.workdir}/src/tinycalc/__init__.py"]
            tests = await box.run(" ".join(environment.plan.test_command), 60)
            assert "Ran 4 tests" in tests.output
            assert (await box.run(f"touch {environment.prefix}/x", 5)).exit_code

    asyncio.run(asyncio.wait_for(scene(), 120))


def test_it_is_mounted(environment: Environment) -> None:
    check(environment, image=IMAGE)


def test_an_image_holds_it(environment: Environment) -> None:
    check(environment, image=HELD)
    check(environment, image=HELD, transfer="copy")
    with pytest.raises(SandboxError, match="sera prepare --image"):
        check(environment, image=IMAGE, transfer="copy")


def test_packages_of_other_environments_are_not_in_it(engine: EngineAtHand, environment: Environment) -> None:
    installed = environment.plan.interpreter.prefix
    hidden = [path for path in environment.hidden if path.is_relative_to(installed)]
    assert hidden
    for path in hidden:
        listed = engine.run("run", "--rm", "--network=none", HELD, "find", str(path), "-mindepth", "1")
        assert listed == ""


def test_where_it_could_not_be_seen_no_image_is_built(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERA_CACHE", str(tmp_path))
    command = [sys.executable, "-m", "sera", "prepare", project, "--image", "sera-test:none", "--base", IMAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "would not be seen in a container" in done.stderr


def test_a_run_uses_it(environment: Environment, project: Path, tmp_path: Path) -> None:
    settings = ("sandbox.backend=docker", f"sandbox.image={HELD}")
    pairs = [word for setting in settings for word in ("--set", setting)]
    used = ("--environment", environment.tree.parent, *pairs)
    sera("generate", project, "--out", tmp_path / "run", "--functions", 1, *used)
    recorded = json.loads((tmp_path / "run/run.json").read_text())
    assert recorded["identity"]["environment"] == environment.digest
    assert (tmp_path / "run/rollouts.jsonl").read_text().count("\n") >= 2
