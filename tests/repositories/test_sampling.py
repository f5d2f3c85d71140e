"""The plan: reproducible, growing only at its end, spread evenly."""

import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sera.errors import UsageError
from sera.records import Function, content_id
from sera.repositories import FunctionIndex, IndexRules, Weights, index_functions, plan_tasks
from sera.repositories.sampling import order_functions


def function(path: str, line: int, **facts: object) -> Function:
    name = f"f{line}"
    return Function(
        id=content_id(path, name, line),
        name=name,
        path=path,
        line=line,
        end_line=line + 3,
        kind="function",
        **{"statements": 3, **facts},
    )  # type: ignore[arg-type]


def index_of(*sizes: int) -> FunctionIndex:
    """Modules `m0.py`, `m1.py`, … of these many functions."""
    functions = tuple(
        function(f"m{n}.py", line) for n, size in enumerate(sizes) for line in range(1, size + 1)
    )
    return FunctionIndex(functions=functions, refused={}, skipped={}, files=len(sizes))


def names(letter: str, count: int) -> list[str]:
    return [f"{letter}{n}" for n in range(count)]


SHAPES = st.lists(st.integers(1, 12), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    SHAPES,
    st.integers(1, 7),
    st.integers(1, 5),
    st.integers(0, 2**40),
    st.integers(0, 120),
    st.integers(0, 120),
)
def test_a_shorter_plan_is_a_prefix(
    shape: list[int], cats: int, demos: int, seed: int, n: int, m: int
) -> None:
    index = index_of(*shape)
    arguments = (index, "snap", names("c", cats), names("d", demos))
    short, long = (plan_tasks(*arguments, count, seed) for count in sorted((n, m)))
    assert long[: len(short)] == short
    assert [task.index for task in long] == list(range(len(long)))
    assert len({task.id for task in long}) == len(long)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))
def test_spread(shape: list[int], cats: int, demos: int, seed: int) -> None:
    index = index_of(*shape)
    size = sum(shape)
    tasks = plan_tasks(index, "snap", names("c", cats), names("d", demos), 2 * size * cats, seed)
    firsts = [task.categories[0] for task in tasks]
    for start in range(0, len(tasks), cats):
        assert sorted(firsts[start : start + cats]) == names("c", cats)
    styles = [task.demonstration for task in tasks]
    for start in range(0, len(tasks) - demos + 1, demos):
        assert sorted(styles[start : start + demos]) == names("d", demos)
    for start in range(0, len(tasks), size):
        assert len({task.function.id for task in tasks[start : start + size]}) == size
    for start in (0, size * cats):
        pairs = {(task.function.id, task.categories[0]) for task in tasks[start : start + size * cats]}
        assert len(pairs) == size * cats
    for task in tasks:
        assert len(task.categories) == 3
        assert len(set(task.categories)) == min(3, cats)


def test_a_plan_depends_on_seed_and_content_alone() -> None:
    index = index_of(5, 9, 2)
    shuffled = FunctionIndex(functions=tuple(reversed(index.functions)), refused={}, skipped={}, files=3)
    arguments = ("snap", names("c", 4), names("d", 3), 40)
    assert plan_tasks(index, *arguments, seed=1) == plan_tasks(shuffled, *arguments, seed=1)
    assert plan_tasks(index, *arguments, seed=1) != plan_tasks(index, *arguments, seed=2)


def test_a_known_plan_under_any_hash_seed() -> None:
    code = """if True:
        import sys
        sys.path.insert(0, sys.argv[1])
        from test_sampling import index_of, names
        from sera.records import content_id
        from sera.repositories import plan_tasks
        tasks = plan_tasks(index_of(3, 40, 7), "s", names("c", 5), names("d", 2), 99, 7)
        print(content_id(*(task.id for task in tasks)))"""
    here = str(Path(__file__).parent)
    printed = {
        subprocess.run(
            [sys.executable, "-c", code, here],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert printed == {"0874fc9f8466d0d3"}


def test_a_changed_module_leaves_the_order_of_others() -> None:
    before = [
        t.function
        for t in plan_tasks(index_of(6, 6, 6), "s", ["c"], ["d"], 18, 3)
        if t.function.path != "m2.py"
    ]
    after = [
        t.function
        for t in plan_tasks(index_of(6, 6, 9), "s", ["c"], ["d"], 21, 3)
        if t.function.path != "m2.py"
    ]
    assert before == after


def test_large_modules_do_not_crowd_out_small_ones() -> None:
    index = index_of(400, *[4] * 20)
    seen = Counter(
        task.function.path for seed in range(60) for task in plan_tasks(index, "s", ["c"], ["d"], 10, seed)
    )
    expected = 600 * math.sqrt(400) / (math.sqrt(400) + 20 * math.sqrt(4))
    assert abs(seen["m0.py"] - expected) < 75
    alike = Counter(
        task.function.path
        for seed in range(60)
        for task in plan_tasks(index, "s", ["c"], ["d"], 10, seed, weights=Weights(module_exponent=1))
    )
    assert alike["m0.py"] > 1.3 * seen["m0.py"]


def test_functions_of_weight_come_first() -> None:
    plain = [function("m.py", n) for n in range(1, 51)]
    good = [function("m.py", n, docstring="Does.", callers=("a",), statements=12) for n in range(51, 101)]
    index = FunctionIndex(functions=(*plain, *good), refused={}, skipped={}, files=1)
    heavy = sum(
        task.function.line > 50
        for seed in range(20)
        for task in plan_tasks(index, "s", ["c"], ["d"], 10, seed)
    )
    assert 150 < heavy < 190  # 200 draws at 6 : 1


def test_seeds_fit_every_server() -> None:
    seeds = [task.seed for task in plan_tasks(index_of(9), "s", ["c"], ["d"], 500, 0)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len(set(seeds)) > 495


def test_what_cannot_be_planned() -> None:
    index = index_of(2)
    nothing = FunctionIndex(
        functions=index.functions,
        refused={f.id: "too short" for f in index.functions},
        skipped={"python 2": ("a.py",)},
        files=1,
    )
    with pytest.raises(
        UsageError, match=r"no function to start from: 1 source files.*1 python 2.*2 too short"
    ):
        plan_tasks(nothing, "s", ["c"], ["d"], 1, 0)
    with pytest.raises(UsageError, match="no category"):
        plan_tasks(index, "s", [], ["d"], 1, 0)
    with pytest.raises(UsageError, match="no demonstration"):
        plan_tasks(index, "s", ["c"], [], 1, 0)
    with pytest.raises(UsageError, match="twice"):
        plan_tasks(index, "s", ["c", "c"], ["d"], 1, 0)
    with pytest.raises(UsageError, match="cannot plan -1"):
        plan_tasks(index, "s", ["c"], ["d"], -1, 0)
    assert plan_tasks(index, "s", ["c"], ["d"], 0, 0) == []


def test_files_that_are_not_sampled_move_no_others(tmp_path: Path) -> None:
    """Functions of other files keep their order: also their weights, which hang on callers anywhere."""
    body = "def one{0}(a):\n    b = helper{1}(a)\n    c = b\n    return c\n\n\n"
    for number, name in enumerate(("core/a.py", "core/b.py", "docs/conf.py", "bench/run.py")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = "".join(body.format(f"_{number}_{n}", n) for n in range(6))
        (tmp_path / name).write_text(text + text.replace("def one", "def helper"))
    orders = [
        [
            function.id
            for function in order_functions(index_functions(tmp_path, rules).sampleable, 7, Weights())
        ]
        for rules in (
            IndexRules(),
            IndexRules(exclude=("docs", "bench")),
            IndexRules(include=("core",)),
            IndexRules(include=("core", "docs"), exclude=("/docs/conf.py",)),
        )
    ]
    paths = {one.id: one.path for one in index_functions(tmp_path).functions}
    wanted = [one for one in orders[0] if paths[one].startswith("core/")]
    assert len(wanted) == 24
    assert orders[1:] == [wanted] * 3
    assert index_functions(tmp_path, IndexRules(exclude=("docs",))).left_out == {"excluded": 12}
