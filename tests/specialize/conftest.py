"""A shop to specialise a student to."""

from collections.abc import Callable

import pytest
from specialize_place import Place

from sera.settings import load_config
from sera.specialize.config import SpecializeConfig
from sera.specialize.plan import Request


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One for the tests of a module, which build on each other's work."""
    return Place(tmp_path_factory.mktemp("specialize"))


@pytest.fixture
def quick(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """The plan of the settings, with changes, in this process."""
    monkeypatch.setenv("SERA_CACHE", place.shell["SERA_CACHE"])

    def request(*pairs: str, skip: tuple[str, ...] = (), until: str = "") -> Request:
        config = load_config(SpecializeConfig, place.folder / "loop.toml", pairs)
        return Request(
            repo=str(place.folder / "project"), out=place.out, config=config, repeat=("specialize",),
            skip=frozenset(skip), until=until,
        )  # fmt: skip

    return request
