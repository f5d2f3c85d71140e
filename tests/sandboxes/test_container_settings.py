"""What needs no engine: names of images, the choice of a backend, options, sentences."""

from pathlib import Path

import pytest

from sera.errors import ConfigError
from sera.generation.job import GenerateConfig
from sera.sandboxes import NamespacesConfig, make_backend
from sera.sandboxes.containers.backend import Containers
from sera.sandboxes.containers.config import DockerConfig, PodmanConfig, instance_image
from sera.sandboxes.containers.engine import Engine
from sera.sandboxes.containers.images import dockerfile
from sera.sandboxes.contract import Layer
from sera.settings import convert, load_config, to_tree


@pytest.mark.parametrize(
    ("instance", "image"),
    [
        ("django__django-11099", "swebench/sweb.eval.x86_64.django_1776_django-11099:latest"),
        ("scikit-learn__scikit-learn-10297", "swebench/sweb.eval.x86_64.scikit-learn_1776_scikit-learn-10297:latest"),
        ("PyCQA__flake8.cf1542ce.combine_file__a", "jyangballin/swesmith.x86_64.pycqa_1776_flake8.cf1542ce"),
        ("gawel__pyquery.811cd048", "jyangballin/swesmith.x86_64.gawel_1776_pyquery.811cd048"),
        ("theskumar__python-dotenv.2b8635b7.x", "jyangballin/swesmith.x86_64.theskumar_1776_python-dotenv.2b8635b7"),
    ],
)  # fmt: skip
def test_published_images(monkeypatch: pytest.MonkeyPatch, instance: str, image: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert instance_image(instance) == image


@pytest.mark.parametrize("instance", ["", "django", "django-11099", "__x", "x__"])
def test_what_is_no_instance(instance: str) -> None:
    with pytest.raises(ConfigError, match="no instance"):
        instance_image(instance)


def test_an_instance_brings_its_tree_its_user_and_its_interpreter() -> None:
    plain, instance = DockerConfig(image="x"), DockerConfig(instance="django__django-11099")
    assert (plain.owns_tree, plain.command_user, plain.search) == (False, 1000, ())
    assert (instance.owns_tree, instance.command_user) == (True, 0)
    assert instance.search == ("/opt/miniconda3/envs/testbed/bin",)
    assert not DockerConfig(instance="django__django-11099", tree="layer").owns_tree


def test_one_image_is_needed() -> None:
    for config in (DockerConfig(), DockerConfig(image="x", instance="django__django-11099")):
        with pytest.raises(ConfigError, match=r"sandbox\.image"):
            _ = config.image_name


@pytest.mark.parametrize(("name", "kind"), [("docker", DockerConfig), ("podman", PodmanConfig)])
def test_the_backend_is_a_setting_that_survives_the_record(name: str, kind: type) -> None:
    config = load_config(GenerateConfig, pairs=[f"sandbox.backend={name}", "sandbox.image=x:1"])
    assert isinstance(config.sandbox, kind)
    assert convert(to_tree(config), GenerateConfig, "run.json") == config
    assert isinstance(make_backend(config.sandbox, Layer(tree=Path("/none"), commit="")), Containers)
    assert isinstance(load_config(GenerateConfig).sandbox, NamespacesConfig)


def test_a_setting_of_another_backend_is_refused() -> None:
    with pytest.raises(ConfigError, match="share_layer"):
        load_config(GenerateConfig, pairs=["sandbox.backend=docker", "sandbox.share_layer=false"])


def test_a_dockerfile() -> None:
    text = dockerfile("python:3.11", [Path("/a b"), Path("/c")], ["/c/bin"], {"X": 'say "$it"'})
    assert text == (
        'FROM python:3.11\nUSER 0\nCOPY ["files/0/", "/a b/"]\nCOPY ["files/1/", "/c/"]\n'
        'ENV PATH="/c/bin:$PATH"\nENV X="say \\"\\$it\\""\nLABEL sera.holds="[\\"/a b\\", \\"/c\\"]"\n'
    )


def test_failures_end_in_a_cure() -> None:
    said = Engine("docker", "docker").explain("Got permission denied while trying to connect to x.\n", "run")
    assert said.startswith("docker run: Got permission denied while trying to connect to x. You may not use")
