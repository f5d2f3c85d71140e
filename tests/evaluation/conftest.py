"""A set of tasks, made once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_evaluations import GOOD, prepared, task, write_set

from sera.environments import Environment


@pytest.fixture(scope="session")
def little_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache that the environment lies in: in somebody's checkout, whose git must have no say in it."""
    checkout = tmp_path_factory.mktemp("evaluation-cache")
    subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
    return checkout / ".cache"


@pytest.fixture(scope="session")
def little(tmp_path_factory: pytest.TempPathFactory, little_cache: Path) -> Environment:
    """The small project's environment, made without a network."""
    from environment_support import fill_index, only

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("index") / "wheels"
        fill_index(folder)
        for name, value in {**only(folder), "SERA_CACHE": str(little_cache)}.items():
            patch.setenv(name, value)
        return prepared(tmp_path_factory.mktemp("little") / "little")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The only packages there are, and a cache."""
    from environment_support import fill_index, only

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("index") / "wheels"
        fill_index(folder)
        for name, value in {**only(folder), "SERA_CACHE": str(tmp_path_factory.mktemp("cache"))}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def own_cache(little_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's cache is that of the environment."""
    monkeypatch.setenv("SERA_CACHE", str(little_cache))


@pytest.fixture(scope="session")
def little_tasks(little: Environment, little_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task for each function of the project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERA_CACHE", str(little_cache))
        tasks = [task(little, function) for function in GOOD]
    return write_set(tmp_path_factory.mktemp("tasks"), little, tasks)
