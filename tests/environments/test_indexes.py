"""The user's own index settings reach uv, whichever program they were made for."""

import os
from pathlib import Path

import pytest

from sera.environments import indexes

OWN = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_CONFIG_FILE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def test_settings_of_pip_are_handed_to_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert indexes.for_uv("") == {}
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://in.example/simple\nextra-index-url =\n  https://a.example\n  https://b.example\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    found = indexes.for_uv("")
    assert found["UV_DEFAULT_INDEX"] == "https://in.example/simple"
    assert found["UV_INDEX"] == "https://a.example https://b.example"
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example/simple")
    assert indexes.for_uv("")["UV_DEFAULT_INDEX"] == "https://env.example/simple"


def test_what_is_set_for_uv_comes_first_and_the_setting_before_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example")
    monkeypatch.setenv("UV_INDEX_URL", "https://uv.example")
    assert indexes.for_uv("") == {}
    assert indexes.for_uv("https://told.example")["UV_DEFAULT_INDEX"] == "https://told.example"
    assert indexes.for_pip("") == {}
    assert indexes.for_pip("https://told.example")["PIP_INDEX_URL"] == "https://told.example"
