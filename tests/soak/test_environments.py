"""Environments of real packages of many build systems, from their source archives."""

from pathlib import Path

import pytest

from environments import PACKAGES, archive, read
from sera.environments import PrepareConfig, prepare
from sera.repositories import open_snapshot
from sera.settings import load_config

pytestmark = pytest.mark.soak
WITHOUT_TESTS = ("tomli",)
"""Their archives have none."""


@pytest.fixture(scope="module")
def cache_of_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all of them."""
    return tmp_path_factory.mktemp("packages")


@pytest.mark.parametrize("pin", read(PACKAGES))
def test_package(cache_of_packages: Path, tmp_path: Path, pin: str) -> None:
    snapshot = open_snapshot(str(archive(pin, tmp_path)), cache_of_packages)
    environment = prepare(snapshot, load_config(PrepareConfig, pairs=["check.tests=50"]), cache_of_packages)
    checked = environment.checked
    print(pin, checked.collected, checked.passed, checked.failed, environment.seconds, environment.warnings)
    assert environment.works
    assert checked.passed > 10 * checked.failed or pin.partition("==")[0] in WITHOUT_TESTS
