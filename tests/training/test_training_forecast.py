"""Forecasts against what is published or was measured, and the recipes that rest on them."""

from pathlib import Path
from random import Random

import pytest

from sera.errors import UsageError
from sera.models.shapes import Shape
from sera.settings import load_config
from sera.training import TrainConfig
from sera.training.axolotl.trainer import AxolotlTrainer
from sera.training.contract import Bytes
from sera.training.forecast import (
    FASTEST,
    SLOWEST,
    Device,
    accumulation,
    adapter_parameters,
    arithmetic,
    disk_gb,
    find_device,
    finishing_gb,
    memory,
    steps_of,
    waiting,
)
from sera.training.recipes import find_recipe, recipe_folder, recipe_names
from sera.training.rows import gather
from sera.training.trl.trainer import TrlTrainer

QWEN3_8B = Shape(
    architecture="qwen3", layers=36, hidden=4096, width=12_288, heads=32, kv_heads=8, head_dim=128,
    vocabulary=151_936, context=40_960, tied=False,
)  # fmt: skip
QWEN3_32B = Shape(
    architecture="qwen3", layers=64, hidden=5120, width=25_600, heads=64, kv_heads=8, head_dim=128,
    vocabulary=151_936, context=40_960, tied=False,
)  # fmt: skip
SMOLLM2 = Shape(
    architecture="llama", layers=30, hidden=576, width=1536, heads=9, kv_heads=3, head_dim=64,
    vocabulary=49_152, context=8192, tied=True,
)  # fmt: skip
PAPERS = ("sera-32b", "sera-8b", "sera-8b-ga")


def test_parameters() -> None:
    assert QWEN3_8B.parameters == pytest.approx(8.19e9, rel=0.001)
    assert SMOLLM2.parameters == pytest.approx(134.5e6, rel=0.001)
    # What peft counts for rank 32 on all linear layers.
    config = load_config(TrainConfig, find_recipe("lora"))
    assert adapter_parameters(QWEN3_8B, config) == 87_293_952


@pytest.mark.parametrize(
    ("tokens", "given", "measured"),
    [
        (1024, {}, 3.9),
        (1024, {"gradient_checkpointing": False}, 5.1),
        (1024, {"lora.rank": 16}, 2.6),
        (1024, {"lora.rank": 16, "gradient_checkpointing": False}, 3.6),
        (1806, {"lora.rank": 16, "gradient_checkpointing": False}, 6.7),
        (3070, {"lora.rank": 16, "gradient_checkpointing": False}, 9.7),
        (3072, {"lora.rank": 16, "micro_batch": 2}, 8.2),
    ],
)
def test_memory_on_a_processor(tokens: int, given: dict[str, object], measured: float) -> None:
    """Peaks of processes in GB: `benchmarks/training.py --device cpu --shape smollm2-135m --side sera`, and
    trainings of `make demo-loop` and of an experiment."""
    config = load_config(TrainConfig, given={"device.gpu": "cpu", **given})
    needs = memory(SMOLLM2, config, Device("cpu", 24, 1e11, 1), TrlTrainer().bytes_of(config), tokens)
    assert needs.needs_gb == pytest.approx(measured, rel=0.25)


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({}, False),
        ({"trl.optimizer": "adamw_8bit"}, False),
        ({"trl.optimizer": "adamw_8bit", "trl.weights": "bf16"}, True),
        ({"trl.optimizer": "adamw_8bit", "trl.weights": "bf16", "trl.keep_attention": True}, False),
        (
            {
                "trl.optimizer": "adamw_8bit",
                "trl.weights": "bf16",
                "trl.keep_attention": True,
                "activation_offload": True,
            },
            True,
        ),
        ({"lora.rank": 32}, True),
    ],
)
def test_what_lets_one_gpu_train_eight_billion(given: dict[str, object], fits: bool) -> None:
    """What docs/training.md says of Qwen3-8B at 32,768 tokens on 80 GB. Not measured: it follows from the shapes."""
    config = load_config(TrainConfig, given={"device.gpu": "h100", **given})
    needs = memory(QWEN3_8B, config, find_device(config), TrlTrainer().bytes_of(config), 32_768)
    assert (needs.needs_gb <= needs.has_gb) is fits


@pytest.mark.parametrize(
    ("recipe", "shape", "pairs", "fits"),
    [
        ("sera-8b", QWEN3_8B, [], True),
        ("sera-8b-ga", QWEN3_8B, [], True),
        ("sera-32b", QWEN3_32B, [], True),
        ("sera-8b", QWEN3_32B, [], False),
        ("sera-32b", QWEN3_32B, ["device.nodes=1"], False),
        ("lora", QWEN3_8B, ["device.gpu='h100'"], True),
        ("lora", QWEN3_32B, ["device.gpu='h100'"], False),
        ("qlora", QWEN3_32B, ["device.gpu='h100'", "activation_offload=true"], True),
    ],
)
def test_the_recipes_fit_where_the_paper_trained(
    recipe: str, shape: Shape, pairs: list[str], fits: bool
) -> None:
    """8B on eight H100 with ZeRO-1, 32B on twice as many with ZeRO-3, by rows as long as the recipes allow."""
    config = load_config(TrainConfig, find_recipe(recipe), pairs)
    device = find_device(config)
    needs = memory(shape, config, device, AxolotlTrainer().bytes_of(config), config.sequence)
    assert (needs.needs_gb <= needs.has_gb) is fits


@pytest.mark.parametrize(
    ("recipe", "disk", "finishing"),
    [
        ("sera-32b", 32.76 * 3 * (2 + 2 + 12), 32.76 * 2),
        ("qlora", 32.76 * 2 + 0.268 * (2 * 12 + 2 * 4), 32.76 * 4),
    ],
)
def test_disk_and_memory_to_finish_by_hand(recipe: str, disk: float, finishing: float) -> None:
    """Qwen3-32B: three states with the weights twice; or the checkpoint beside what little an adapter leaves."""
    config = load_config(TrainConfig, find_recipe(recipe))
    cost = AxolotlTrainer().bytes_of(config)
    assert disk_gb(QWEN3_32B, config, cost) == pytest.approx(disk, rel=0.01)
    assert finishing_gb(QWEN3_32B, config) == pytest.approx(finishing, rel=0.01)


def test_checkpointing_and_offload_save_activations() -> None:
    device = Device("h100", 80, 989e12, 8)
    cost = Bytes(
        weight=2, gradient=2, optimizer=1.5, state=16, activation=2, stream=2, tile=(2048, 151_936), logit=8
    )
    kept = [
        memory(QWEN3_8B, load_config(TrainConfig, given=given), device, cost, 32_768).parts["activations"]
        for given in (
            {"gradient_checkpointing": False},
            {},
            {"activation_offload": True},
        )
    ]
    assert kept[0] > 10 * kept[1] > kept[2] == 0


def test_hours_of_the_papers_training() -> None:
    """Six operations a parameter and token, and attention on top, which at 32,768 tokens is no trifle."""
    plain = arithmetic(QWEN3_8B, [1000], adapter=False)
    assert plain == pytest.approx(6 * 7.57e9 * 1000, rel=0.02)
    assert arithmetic(QWEN3_8B, [32_768], adapter=False) > 32.768 * plain * 1.3
    assert arithmetic(QWEN3_8B, [1000], adapter=True) < 0.7 * plain


def test_devices_wait_for_the_longest_row() -> None:
    config = load_config(TrainConfig, given={"batch": 8})
    alike, unlike = [[1000]] * 64, [[100], [1000]] * 32
    for devices in (1, 4, 8):
        assert waiting(SMOLLM2, alike, config, devices) == pytest.approx(1)
    assert waiting(SMOLLM2, unlike, config, 1) == pytest.approx(1)
    every, end = (
        waiting(SMOLLM2, unlike, load_config(TrainConfig, given={"batch": 32, "zero": zero}), 4)
        for zero in (3, 1)
    )
    assert 1.1 < end < every < 2, "after every row, or once in a step of eight rows a device"
    padded = load_config(TrainConfig, given={"batch": 8, "micro_batch": 2})
    assert 1.2 < waiting(SMOLLM2, unlike, padded, 1) < 1.6, "three of four pairs are as long as the longer"
    assert waiting(SMOLLM2, [[1000]] * 9, config, 8) == pytest.approx(16 / 9), "the last row alone"


@pytest.mark.parametrize("mean", [18_000, 21_500, 26_000])
def test_the_papers_unit_cost_lies_within_the_bounds(mean: int) -> None:
    """$0.056 a trajectory, three epochs of Qwen3-32B: method and prices of arXiv 2601.20789. How long its rows are
    is not published: from a mean of what a trajectory adds at least to one near the limit."""
    config, dice = load_config(TrainConfig, find_recipe("sera-32b")), Random(1)
    device = find_device(config)
    rows = [[min(max(round(dice.gauss(mean, 7_000)), 4_000), 32_768)] for _ in range(4_000)]
    times = waiting(QWEN3_32B, rows, config, device.number)
    assert 1.2 < times < 2
    operations = arithmetic(QWEN3_32B, [n for (n,) in rows], adapter=False) * times * config.epochs
    seconds = operations / (device.flops * config.device.utilisation) / len(rows)
    likely = seconds / 3600 * config.device.gpu_hour
    print(
        f"mean {mean}: waiting {times:.2f}, ${likely * FASTEST:.3f} to ${likely * SLOWEST:.3f}, likely ${likely:.3f}"
    )
    assert likely * FASTEST < 0.056 < likely * SLOWEST


@pytest.mark.parametrize(
    ("rows", "epochs", "steps"),
    [(25_224, 3, (789, 2367)), (33, 3, (2, 6)), (5, 1, (1, 1)), (64, 0.5, (2, 1))],
)
def test_steps(rows: int, epochs: float, steps: tuple[int, int]) -> None:
    assert steps_of(rows, load_config(TrainConfig, given={"epochs": epochs}), 1) == steps


def test_a_batch_is_spread_over_devices() -> None:
    config = TrainConfig()
    assert accumulation(config, 8) == 4
    assert steps_of(25_224, config, 8) == (789, 2367)
    with pytest.raises(UsageError, match="multiple of 5"):
        accumulation(config, 5)


def test_packing_wastes_little_and_loses_nothing() -> None:
    lengths = [(n * 7919) % 900 + 100 for n in range(500)]
    bins = gather(lengths, 2000)
    assert sorted(number for numbers in bins for number in numbers) == list(range(500))
    assert max(sum(lengths[number] for number in numbers) for numbers in bins) <= 2000
    assert len(bins) <= 1.05 * sum(lengths) / 2000 + 1


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_load_and_say_how_to_be_used(name: str) -> None:
    config = load_config(TrainConfig, find_recipe(name))
    text = (recipe_folder() / f"{name}.toml").read_text("utf-8")
    assert f"--recipe {name} " in text
    assert accumulation(config, find_device(config).number)


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_recipes_are_the_papers(name: str) -> None:
    config = load_config(TrainConfig, find_recipe(name))
    assert (config.epochs, config.rate, config.weight_decay, config.beta1, config.beta2) == (
        3,
        1e-5,
        0.01,
        0.9,
        0.95,
    )
    assert (config.warmup_steps, config.batch, config.sequence) == (48, 32, 32_768)
    assert (config.packing, config.precision, config.lora) == (False, "bf16", None)
    assert config.gradient_checkpointing
    assert config.activation_offload
    assert config.axolotl.cut_cross_entropy
    assert config.zero == (3 if name == "sera-32b" else 1)


def test_the_papers_adapter() -> None:
    for name in ("lora", "qlora"):
        config = load_config(TrainConfig, find_recipe(name))
        assert config.lora
        assert (config.lora.rank, config.lora.alpha, config.rate) == (32, 128, 5e-5)
        assert config.lora.quantized is (name == "qlora")


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sera-8b"):
        find_recipe("sera-9b")
    (tmp_path / "mine.toml").touch()
    assert find_recipe(str(tmp_path / "mine.toml")).name == "mine.toml"
