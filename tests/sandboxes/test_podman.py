"""The Podman backend: the conformance suite in containers with storage of their own. Slow: `make soak`."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from conformance import Conformance
from engines import IMAGE, EngineAtHand, in_use, podman_engine
from stage import Make

from sera.leases import own_lease
from sera.sandboxes.containers.backend import Containers
from sera.sandboxes.containers.config import PodmanConfig
from sera.sandboxes.containers.engine import LEASE
from sera.sandboxes.contract import Layer, Limits

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineAtHand]:
    with in_use(podman_engine()) as engine:
        yield engine


@pytest.mark.usefixtures("engine")
class TestPodman(Conformance):
    crowd = 8

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, engine: EngineAtHand) -> Make:
        def make(layer: Layer, limits: Limits) -> Containers:
            return Containers(layer, PodmanConfig(image=IMAGE, limits=limits, program=engine.program))

        return make


def test_gc_finds_containers_of_podman(engine: EngineAtHand) -> None:
    leases = {"dead": own_lease()._replace(start=1), "held": own_lease()}
    for name, lease in leases.items():
        engine.run("create", f"--name=sera-test-{name}", f"--label={LEASE}={lease}", IMAGE, "true")
    subprocess.run([sys.executable, "-m", "sera", "gc"], check=True, capture_output=True)
    assert engine.run("ps", "--all", "--format", "{{.Names}}").split() == ["sera-test-held"]
    engine.run("rm", "sera-test-held")
