"""Settings: where they come from, what is refused, what the generated page says of them."""

from pathlib import Path

import msgspec
import pytest

from sera.agent import AgentConfig
from sera.errors import ConfigError
from sera.generation.job import GenerateConfig
from sera.settings import REDACTED, convert, knobs, load_config, to_tree
from sera.teachers import RehearsalConfig, RemoteConfig


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("functions = 5\nseed = 1\nconcurrency = 2\n[agent]\nstep_limit = 9\n")
    config = load_config(
        GenerateConfig, file, ["seed=3", "agent.clip=80"], {"seed": 2, "functions": None, "concurrency": 4}
    )
    assert (config.functions, config.seed, config.concurrency) == (5, 3, 4)
    assert config.agent == AgentConfig(step_limit=9, clip=80)


def test_kind_is_the_default_one_unless_named() -> None:
    config = load_config(GenerateConfig, pairs=["teacher.latency=0.5"])
    assert config.teacher == RehearsalConfig(latency=0.5)
    chat = {"teacher.kind": "chat", "teacher.base_url": "http://x/v1", "teacher.model": "m"}
    assert load_config(GenerateConfig, given=chat).teacher == RemoteConfig(base_url="http://x/v1", model="m")


def test_values_are_toml_or_text() -> None:
    config = load_config(
        GenerateConfig, pairs=["revision=v1.0", "demonstrations=issues/", "sandbox.mounts=['~']"]
    )
    assert (config.revision, config.demonstrations) == ("v1.0", "issues/")
    assert config.sandbox.mounts == (Path.home(),)


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("functions=0", "functions"),
        ("functions=ten", "functions"),
        ("agent.wall_clock=0", "agent.wall_clock"),
        ("agent.steps=1", "unknown field `steps`"),
        ("teacher.kind=oracle", "oracle"),
        ("teacher.same=0.9", "at most 1"),
        ("agent.step_limit.most=1", "step_limit"),
        ("seed", "key=value"),
        ("sandbox.limits.memory_byts=1", "memory_byts"),
        ("leave_out=src", r"""A list is written in brackets, as --set 'KEY=\["a", "b"\]'"""),
    ],
)
def test_what_is_wrong_is_named(pair: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config(GenerateConfig, pairs=["agent.step_limit=7", pair])


def test_file_that_is_no_toml(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("functions: 5")
    with pytest.raises(ConfigError, match=r"c\.toml"):
        load_config(GenerateConfig, file)


def test_saved_settings_can_be_given_again() -> None:
    config = load_config(GenerateConfig, pairs=["functions=7", "sandbox.python=/usr"])
    saved = msgspec.json.decode(msgspec.json.encode(to_tree(config)))
    assert convert(saved, GenerateConfig, "saved") == config


def test_every_knob_is_explained() -> None:
    listed = list(knobs(GenerateConfig))
    assert [knob.key for knob in listed if not knob.text] == []
    assert {"functions", "teacher.kind", "teacher.base_url", "agent.step_limit"} <= {
        knob.key for knob in listed
    }


@pytest.mark.parametrize("number", ["inf", "-inf", "nan", "1e400", "1e16", "-1e16", "9" * 400, str(2**63)])
@pytest.mark.parametrize(
    "key",
    ["limits.max_usd", "limits.max_tokens", "limits.max_hours", "concurrency", "functions", "again_after",
     "agent.step_limit", "agent.wall_clock", "sandbox.limits.memory_bytes"],
)  # fmt: skip
def test_numbers_that_nothing_can_be_reckoned_with(key: str, number: str) -> None:
    with pytest.raises(ConfigError, match=key.rpartition(".")[2]):
        load_config(GenerateConfig, None, [f"{key}={number}"])


@pytest.mark.parametrize("number", ["inf", "nan", "-1", "1e7", "1e300"])
@pytest.mark.parametrize("key", ["input", "cached", "output", "written"])
def test_prices_are_numbers_of_dollars(key: str, number: str) -> None:
    price = {"input": 1, "output": 2} | {key: float(number)}
    with pytest.raises(ConfigError, match=key):
        load_config(
            GenerateConfig,
            None,
            (),
            {"teacher": {"kind": "chat", "model": "m", "base_url": "http://x", "price": price}},
        )


def test_a_record_without_its_secret_says_what_to_give_again(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    config = {"teacher": {"kind": "chat", "model": "m", "base_url": f"http://h/{REDACTED}/v1"}, "seed": 4}
    file.write_bytes(msgspec.json.encode({"config": config}))
    with pytest.raises(
        ConfigError, match=r"teacher.base_url stands in .*run.json without .* --set teacher.base_url="
    ):
        load_config(GenerateConfig, file)
    again = load_config(GenerateConfig, file, ["teacher.base_url=http://h/t0ken/v1"])
    assert (again.seed, again.teacher) == (4, RemoteConfig(model="m", base_url="http://h/t0ken/v1"))


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63), 11_400_714_819_323_198_485])
def test_a_seed_may_be_any_number_of_64_bits(seed: int) -> None:
    config = load_config(GenerateConfig, pairs=[f"seed={seed}"], given={"teacher.seed": seed})
    assert (config.seed, config.teacher.seed) == (seed, seed)
    for beyond in (2**64 + seed % 7, 1e300, -(2**70)):
        with pytest.raises(ConfigError, match=r"seed is .*nothing can be reckoned with"):
            load_config(GenerateConfig, given={"seed": beyond})
