"""The table of products, the setting beside it, and how both are read: what needs no sandbox."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from sera.errors import ConfigError
from sera.generation.job import GenerateConfig
from sera.sandboxes.containers.config import DockerConfig
from sera.sandboxes.containers.options import order_for
from sera.sandboxes.containers.toolbox import Toolbox
from sera.sandboxes.contract import Layer
from sera.sandboxes.inside.products import Judge, Products, Surroundings
from sera.sandboxes.inside.spec import Spec
from sera.sandboxes.machine import NamespacesConfig, make_spec
from sera.sandboxes.products import known_products, rules
from sera.settings import load_config

Tell = Callable[..., list[str]]


@pytest.fixture
def left_out() -> Tell:
    """Of new files, those that are left out."""

    def tell(new: Iterable[str], tracked: Iterable[str] = (), own: Iterable[str] = ()) -> list[str]:
        new = list(new)
        judge = Judge(Products(rules(own)), set(), Surroundings(new, tracked))
        return [path for path in new if judge.product(path)]

    return tell


def test_every_product_of_the_table_is_found(left_out: Tell) -> None:
    """Each name with a file that fits it, the marks beside it and in it, and none tracked."""
    for product in known_products():
        for name in product.names:
            made = name.lstrip("/").replace("[0-9]", "7").replace("[a-p]", "o").replace("*", "any")
            top = made.partition("/")[0] if "/" in made.rstrip("/") else made.rstrip("/")
            above = "" if name.startswith("/") else "deep/er/"
            files = [f"{above}{made}{'inner/x' if made.endswith('/') else ''}"]
            files += [f"{above}{made}{product.holds[0]}"] if product.holds else []
            beside = [f"{above}{product.beside[0]}"] if product.beside else []
            assert left_out(files, beside) == files, (product.tool, name)
            if product.beside:
                assert left_out(files) == [] or top in ("target", "build"), (product.tool, name)


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_new.py",
        "NOTES.md",
        "data/generated.json",
        "build/rules.py",
        "dist/index.js",
        "target/lib.rs",
        "core/__init__.py",
        "core.py",
        "core.2d.py",
        "coverage/report.py",
        "tests/data/coverage.xml",
        "tests/data/junit.xml",
        ".coveragerc",
        "venv/own.py",
        "html/page.html",
        "_build/own.py",
        "env.o.txt",
        ".github/workflows/new.yml",
    ],
)
def test_sources_stay(left_out: Tell, path: str) -> None:
    assert left_out([path], ["pyproject.toml", "src/a.py"]) == []


def test_a_directory_with_something_tracked_is_the_projects_own(left_out: Tell) -> None:
    new = [
        "vendor/node_modules/new.js",
        "node_modules/new.js",
        "docs/_build/html/x",
        "docs/_build/doctrees/y",
    ]
    assert left_out(new, ["vendor/node_modules/deep/old.js", "docs/_build/html/index.html"]) == [new[1]]


def test_own_patterns(left_out: Tell) -> None:
    new = [
        "a.log",
        "x/b.log",
        "out.txt",
        "x/out.txt",
        "reports/a.py",
        "x/reports/a",
        "made/by/us",
        "coverage.xml",
    ]
    new += [".tox/log", "x.so"]
    assert left_out(new) == ["coverage.xml", ".tox/log", "x.so"]
    own = ["*.log", "/out.txt", "reports", "made/by/", "!coverage.xml", "!.tox/", "!x/b.log"]
    assert left_out(new, own=own) == [
        *("a.log", "out.txt", "reports/a.py", "x/reports/a", "made/by/us", "x.so")
    ]
    assert left_out(new, own=["!*"]) == []


@pytest.mark.parametrize("pattern", ["", "/", "!", "a//b", "**/x", "a\nb", "x" * 300])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"products: .* is no pattern: write a name as in .gitignore"):
        load_config(GenerateConfig, given={"sandbox.products": [pattern]})
    with pytest.raises(ConfigError, match="is no pattern"):
        load_config(
            GenerateConfig,
            given={"sandbox.backend": "docker", "sandbox.image": "x", "sandbox.products": [pattern]},
        )


def test_too_many_patterns_are_refused() -> None:
    with pytest.raises(ConfigError, match="101 patterns, and 100 are the most"):
        load_config(GenerateConfig, given={"sandbox.products": ["a"] * 101})


def test_every_backend_sends_the_setting(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    layer, own = Layer(tree=tmp_path, commit="0" * 40), ("*.log", "!coverage.xml")
    inside = make_spec(layer, NamespacesConfig(products=own))
    order = order_for(
        DockerConfig(image="x", products=own), layer, Toolbox(tmp_path, [], []), {"Config": {"Env": []}}
    )
    assert list(inside.products) == list(Spec(**order["spec"]).products) == rules(own)


def test_time_is_linear_in_the_names(left_out: Tell) -> None:
    """Whatever the names: many in one directory, deep ones, and such as try a pattern with wildcards hard."""
    hard = "a" * 250
    for make in (
        lambda n: f"{hard}{n}.xml.o",
        lambda n: f"dist/{n}.whl",
        lambda n: f"{'s/' * 400}{n}/x.orig",
        lambda n: f"{hard}{n}",
    ):
        new = [make(n) for n in range(20_000)]
        start = time.process_time()
        left_out(new, ["setup.py"], ["*a*a*a*a*a*a*a*b", "/*/*/*/*.c"])
        assert time.process_time() - start < 8, make(0)
