"""The namespace backend against commands that mean harm: with control groups where this machine has them,
without, and, if root runs the tests, as an ordinary user."""

import os
from typing import ClassVar

import pytest
from hostile import Hostile, make_closed
from ordinary import passes_as_an_ordinary_user
from stage import Make

from sera.sandboxes.cgroups import find_place
from sera.sandboxes.contract import Layer, Limits
from sera.sandboxes.namespaces import Namespaces, NamespacesConfig

_GIVEN = find_place().parents


_IPC = "an ordinary user may not lower the limits of an IPC namespace; the memory is bounded by the group"


class TestHostileNamespaces(Hostile):
    not_promised: ClassVar = {} if os.getuid() == 0 else {"message queues": _IPC, "semaphores": _IPC}
    bounds_unmapped_memory = "memory" in _GIVEN
    shares_processors = "cpu" in _GIVEN

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, tmp_path_factory: pytest.TempPathFactory) -> Make:
        closed = make_closed(tmp_path_factory.mktemp("closed"))
        cls.closed = str(closed)

        def make(layer: Layer, limits: Limits) -> Namespaces:
            return Namespaces(layer, NamespacesConfig(limits=limits, mounts=(closed,)))

        return make


@pytest.mark.skipif(os.getuid() != 0, reason="these tests run as an ordinary user already")
def test_hostile_as_an_ordinary_user() -> None:
    passes_as_an_ordinary_user(__file__, "TestHostileNamespaces and not used_up")
