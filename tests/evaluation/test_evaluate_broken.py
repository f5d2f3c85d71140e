"""What cannot be evaluated is said in a sentence, before a model is asked anything."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from checkup_servers import endpoint, saying
from made_evaluations import SLOW, SOURCE, UNSTEADY, diff, task, with_tests_of, write_set
from scripted_server import answer, serving

from sera.cli import cli
from sera.environments import Environment
from sera.errors import ConfigError, ModelError, RunError, SeraError, TasksError, TeacherUnusable, UsageError
from sera.evaluation.asking import asked_as, profile_of, saved_with
from sera.evaluation.config import EvaluateConfig
from sera.evaluation.swebench import _in_path
from sera.evaluation.tasks.record import Instance, read_instances, task_name
from sera.harness import Profile, load_profile
from sera.models.checkpoints import Checkpoint, Saved, read_checkpoint
from sera.settings import load_config
from sera.teachers import LocalConfig

Evaluate = Callable[..., object]
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def evaluate(little_tasks: Path, tmp_path: Path) -> Evaluate:
    """The command, with the rehearsal teacher on the sound set unless told otherwise."""

    def run(
        *more: object, tasks: Path = little_tasks, model: str = "rehearsal", out: str = "out", seeds: int = 1
    ) -> object:
        words = ["evaluate", tasks, "--model", model, "--out", tmp_path / out, "--seeds", seeds, *more]
        return cli.main([str(word) for word in words], standalone_mode=False)

    return run


def refused(run: Callable[[], object], kind: type[SeraError], *words: str) -> None:
    with pytest.raises(kind) as caught:
        run()
    for word in words:
        assert word in str(caught.value)


@pytest.fixture
def made(little: Environment, tmp_path: Path) -> Callable[..., Path]:
    """A set with the given tasks."""
    return lambda *tasks: write_set(tmp_path / "tasks", little, list(tasks))


BROKEN = {
    "fails after": ("tests fail with its own patch too", lambda one: one | {"patch": diff(
        "little.py", SOURCE.replace("a + b", "a - b"), SOURCE.replace("a + b", "a * b"))}),
    "passes before": ("should fail without a patch pass", lambda one: one | {
        "FAIL_TO_PASS": one["PASS_TO_PASS"], "PASS_TO_PASS": "[]"}),
    "fails before": ("should pass without a patch fail", lambda one: one | {
        "FAIL_TO_PASS": one["FAIL_TO_PASS"], "PASS_TO_PASS": one["FAIL_TO_PASS"]}),
    "does not fit": ("does not fit its starting tree", lambda one: one | {
        "patch": "--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n"}),
    "another tree": ("came out as", lambda one: one | {"start_commit": "0" * 40}),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_tasks_that_tell_nothing(
    evaluate: Evaluate, made: Callable[..., Path], little: Environment, case: str
) -> None:
    said, spoil = BROKEN[case]
    row = spoil(json.loads(msgspec.json.encode(task(little, "add"))))
    tasks = made(msgspec.convert(row, Instance))
    refused(lambda: evaluate(tasks=tasks), TasksError, "1 of 1 tasks", said, "little-add", "leave_out")


@pytest.mark.parametrize(
    ("tests", "said"), [(UNSTEADY, "flaky tests"), (SLOW, "not through in time")], ids=["flaky", "slow"]
)
def test_flaky_and_slow_tests(
    evaluate: Evaluate, made: Callable[..., Path], little: Environment, tests: str, said: str
) -> None:
    tasks = made(with_tests_of(little, tests))
    refused(lambda: evaluate("--set", "test_seconds=1.5", tasks=tasks), TasksError, "little-add", said)


def test_broken_tasks_can_be_left_out(
    evaluate: Evaluate, made: Callable[..., Path], little: Environment, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    broken = msgspec.structs.replace(task(little, "double"), patch=task(little, "add").patch)
    tasks = made(task(little, "add"), broken)
    evaluate("--set", "broken=leave_out", "--set", "agent.step_limit=2", tasks=tasks)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["tasks"] == 1
    assert "does not fit" in results["left_out"]["little-double"]
    told = capsys.readouterr().err
    assert "checking 2 tasks" in told
    assert "evaluating rehearsal: 1 task\n" in told
    assert "1/1:" in told


def test_sets_that_are_none(
    evaluate: Evaluate, made: Callable[..., Path], little: Environment, little_tasks: Path, tmp_path: Path
) -> None:
    refused(lambda: evaluate(tasks=made()), TasksError, "has no task to evaluate")
    refused(lambda: evaluate(tasks=tmp_path), TasksError, "no finished set of tasks", "sera tasks build")
    one = task(little, "add")
    refused(lambda: evaluate(tasks=made(one, one)), TasksError, "same name")
    blank = msgspec.structs.replace(one, fail_to_pass="[]")
    refused(lambda: evaluate(tasks=made(blank)), TasksError, "no test that tells")
    changed = shutil.copytree(little_tasks, tmp_path / "changed")
    rows = (changed / "tasks.jsonl").read_text()
    (changed / "tasks.jsonl").write_text(rows.replace("wrong result", "right result"))
    refused(lambda: evaluate(tasks=changed), TasksError, "is not what manifest.json says")


OUT = {
    "up": {"instance_id": "../../../../../mark"}, "absolute": {"instance_id": "{}/mark"}, "none": {"instance_id": ""},
    "above": {"instance_id": ".."}, "NUL": {"instance_id": "a\0b"}, "line": {"instance_id": "a\nb"},
    "long": {"instance_id": "ä" * 128}, "tree": {"tree": "../../mark"}, "commit": {"start_commit": "../mark"},
}  # fmt: skip


@pytest.mark.parametrize("case", OUT)
def test_a_stranger_s_tasks_write_nothing_elsewhere(
    evaluate: Evaluate, made: Callable[..., Path], little: Environment, tmp_path: Path, case: str
) -> None:
    changes = {field: text.replace("{}", str(tmp_path)) for field, text in OUT[case].items()}
    one = msgspec.structs.replace(task(little, "add"), **changes)
    refused(lambda: evaluate(tasks=made(one), model="gold"), TasksError, "line 1", "cannot be a task")
    assert not list(tmp_path.rglob("mark"))
    assert not list(tmp_path.parent.glob("mark"))


def test_tasks_nested_too_deeply(
    evaluate: Evaluate, made: Callable[..., Path], little: Environment, tmp_path: Path
) -> None:
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    folder = made(task(little, "add"))
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"settings":{}', b'"settings":' + deep))
    refused(lambda: evaluate(tasks=folder), TasksError, "nested too deeply", "sera tasks build")
    rows = b'{"instance_id":"a","hints":' + deep + b"}\n"
    (folder / "tasks.jsonl").write_bytes(rows)
    with pytest.raises(TasksError, match="line 1 is no task"):
        read_instances(folder)


def test_names_of_tasks_and_models_are_names_of_folders() -> None:
    assert task_name("../../etc\n", "1") == "..-..-etc-__..-..-etc--1"
    assert len(task_name("a" * 5000, "1")) < 255
    assert task_name("ruamel.yaml", "0a") == "ruamel.yaml__ruamel.yaml-0a"
    assert [_in_path(name) for name in ("org/a", "..", "a\0b", "")] == ["org__a", "model", "a_b", "model"]


def test_a_baseline_that_is_damaged_is_said(
    evaluate: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(model="gold", out="gold")
    file = tmp_path / "gold" / "outcomes.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0].replace(b"resolved", b"resolves"), *lines[1:-1]]))
    capsys.readouterr()
    evaluate("--baseline", tmp_path / "gold", model="empty", out="empty")
    said = capsys.readouterr().out
    assert "damaged records (outcomes.jsonl, line 1: altered)" in said
    assert "an end of only 2 of the 4 tasks" in said


def test_environment_gone(
    evaluate: Evaluate, made: Callable[..., Path], little: Environment, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tasks = made(msgspec.structs.replace(task(little, "add"), environment="another"))
    refused(lambda: evaluate(tasks=tasks), TasksError, "is gone", "sera prepare")
    evaluate("--set", "environment=any", tasks=tasks, model="gold")
    assert "another environment" in capsys.readouterr().err
    monkeypatch.setenv("SERA_CACHE", str(tmp_path / "nothing"))
    refused(lambda: evaluate(tasks=tasks, out="other"), TasksError, "no environment", "sera prepare")


def test_models_that_are_not_there(evaluate: Evaluate, tmp_path: Path) -> None:
    refused(lambda: evaluate(model="http://127.0.0.1:1/v1"), TeacherUnusable, "no model server at")
    refused(lambda: evaluate(model="no-such-weights"), ModelError, "there are no weights no-such-weights")
    refused(lambda: evaluate("--served-as", "a", model="gold"), UsageError, "--served-as")
    with serving(answer(), models=("one", "two")) as server:
        wrong = lambda: evaluate("--served-as", "three", model=server.base_url)  # noqa: E731
        refused(wrong, UsageError, "serves no model 'three'", "one, two")
        refused(lambda: evaluate(model=server.base_url), UsageError, "needs --served-as", "one, two")
        assert not server.posts
    assert not (tmp_path / "out").exists()


def test_a_server_without_room_for_the_context(evaluate: Evaluate) -> None:
    def asked(room: object, *more: str) -> object:
        with endpoint(saying("Done."), {"data": [{"id": "m", "max_model_len": room}]}) as url:
            return evaluate("--context", "4096", "--set", "agent.step_limit=1", *more, model=url)

    cures = ("--max-model-len 12288", "--set teacher.max_tokens=1904", "would end too early")
    refused(lambda: asked(6000), UsageError, *cures)
    refused(lambda: asked(12287), UsageError, "--context 4095", "--set teacher.max_tokens=8191")
    refused(lambda: asked(4096, "--set", "teacher.max_tokens=1000"), UsageError, "--context 3096")
    baseline = ("--baseline", "none")
    for room in (12288, None):
        refused(lambda room=room: asked(room, *baseline), RunError, "is no evaluation")


def test_profiles_of_checkpoints(evaluate: Evaluate, tmp_path: Path) -> None:
    with_no_profile = ("--require-profile", "--set", "profile=sera-1")
    refused(
        lambda: evaluate(*with_no_profile), ModelError, "no harness profile is saved", "--require-profile"
    )
    checkpoint, profile = tmp_path / "trained" / "checkpoint", load_profile("sera-1-any")
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text("{}")
    saved = {"format": "hermes", "harness": profile.hash, "template": "", "context": 2048}
    (checkpoint / "sera.json").write_text(json.dumps(saved))
    mine = ("--set", f"profile={checkpoint}")
    refused(lambda: evaluate(*mine), ModelError, "no readable harness.json")
    (checkpoint / "harness.json").write_bytes(msgspec.json.encode(load_profile("sera-1")))
    refused(lambda: evaluate(*mine), ModelError, "one of the two files was changed")
    (checkpoint / "harness.json").write_bytes(msgspec.json.encode(profile))
    other = lambda: evaluate("--set", "profile=sera-1", model=str(checkpoint))  # noqa: E731
    refused(other, ConfigError, "with words that it was not trained on")
    xml = lambda: evaluate("--set", "teacher.format=xml", model=str(checkpoint))  # noqa: E731
    refused(xml, ConfigError, "trained on calls in the format 'hermes'")
    asked = load_config(EvaluateConfig, given={"teacher.kind": "local", "teacher.model": str(checkpoint)})
    teacher = asked_as(asked, saved_with(asked)).teacher
    assert isinstance(teacher, LocalConfig)
    assert teacher.format == "hermes"
    (checkpoint.parent / "student.gguf").write_bytes(b"GGUF")
    assert read_checkpoint(str(checkpoint.parent / "student.gguf")) == saved_with(asked)
    assert read_checkpoint(str(checkpoint.parent / "no.gguf")) is None
    (checkpoint / "chat_template.jinja").write_text("changed")
    refused(lambda: evaluate(*mine), ModelError, "another template")


def test_what_nobody_says_of_a_model_is_said(tmp_path: Path) -> None:
    def told(**teacher: str) -> str:
        config = load_config(
            EvaluateConfig,
            given={f"teacher.{key}": value for key, value in teacher.items()} | {"profile": "sera-1"},
        )
        return " ".join(profile_of(config, saved_with(config), ())[1])

    (tmp_path / "student.gguf").write_bytes(b"GGUF")
    elsewhere = str(tmp_path / "student.gguf")
    assert "as its own template has them" in told(kind="local", model=elsewhere)
    served = {"kind": "chat", "base_url": "http://127.0.0.1:1/v1", "model": "mine"}
    assert "as its server has them" in told(**served)
    assert not told(**served, format="hermes")
    assert not told(kind="local", model="smollm2-135m-instruct")
    assert not told(kind="rehearsal")


def test_a_student_of_imported_trajectories_cannot_be_asked_by_our_agent() -> None:
    imported = Profile(name="claude-code", prompts={"agent": "x"}, observations={}, categories={}, tools=[])
    student = Checkpoint(saved=Saved(), profile=imported, digest="")
    with pytest.raises(ConfigError, match="Serve the student to the agent that they came from"):
        profile_of(EvaluateConfig(), student, ())


def test_baselines_that_are_unlike(
    evaluate: Evaluate, made: Callable[..., Path], little: Environment, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    quick = ("--set", "agent.step_limit=1", "--set", "check=false")
    evaluate(model="gold", out="gold")
    evaluate(*quick, out="one", tasks=made(task(little, "add")))
    baseline = ("--baseline", tmp_path / "gold")
    refused(lambda: evaluate(*quick, *baseline), UsageError, "another harness profile", "--any-baseline")
    refused(lambda: evaluate(*quick, "--baseline", tmp_path / "one"), UsageError, "another set of tasks")
    refused(lambda: evaluate(*quick, "--baseline", tmp_path), RunError, "is no evaluation")
    assert not (tmp_path / "out").exists()
    capsys.readouterr()
    evaluate(*quick, *baseline, "--any-baseline", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["comparison"]["difference"] == -100
    assert told["sentence"].endswith("too few tasks changed to tell: 0 won, 4 lost, p 0.125.")
    assert "another harness profile" in told["differences"]


def test_folders_of_something_else(
    evaluate: Evaluate, made: Callable[..., Path], little: Environment, tmp_path: Path
) -> None:
    evaluate(model="gold")
    refused(lambda: evaluate(model="empty"), ConfigError, "was started with other settings", "model was")
    one = made(task(little, "add"))
    refused(lambda: evaluate(model="gold", tasks=one), ConfigError, "tasks was")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    refused(lambda: evaluate(model="gold", out="full"), RunError, "is not empty")


def test_wrong_numbers_and_predictions(evaluate: Evaluate, little_tasks: Path, tmp_path: Path) -> None:
    refused(lambda: evaluate("--set", "seeds=0"), ConfigError, "seeds")
    refused(lambda: evaluate("--set", "sedes=2"), ConfigError, "sedes")
    (tmp_path / "foreign.jsonl").write_text('{"instance_id": "other-1", "model_patch": ""}\n')
    words = ["evaluate", little_tasks, "--predictions", tmp_path / "foreign.jsonl", "--out", tmp_path / "out"]
    run = lambda: cli.main([str(word) for word in words], standalone_mode=False)  # noqa: E731
    refused(run, UsageError, "has a patch for none of the 4 tasks")
    (tmp_path / "foreign.jsonl").write_text("{")
    refused(run, UsageError, "line 1 is no prediction")


def test_a_budget_ends_it_and_nothing_is_lost(evaluate: Evaluate, tmp_path: Path) -> None:
    few = ("--set", "agent.step_limit=2", "--set", "check=false")
    assert evaluate(*few, "--max-tokens", 10_000) == 1
    assert json.loads((tmp_path / "out" / "results.json").read_text())["owed"] == 4
    evaluate(*few, "--max-tokens", 10_000_000)
    assert json.loads((tmp_path / "out" / "results.json").read_text())["owed"] == 0
