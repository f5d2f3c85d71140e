"""Each filter at its boundary, and who owns a patch."""

import json
import random
from typing import Any

import pytest
from made_samples import SOURCE, agreement, call, pair, patch, sample, talk
from msgspec.structs import replace

from sera.datasets import DatasetConfig, Sample
from sera.datasets.decide import Decider
from sera.datasets.recipe import parse_recipe
from sera.datasets.selection.duplicates import claim_of, duplicates
from sera.datasets.selection.reasons import Reason
from sera.errors import ConfigError
from sera.records import End, Finding, Severity, Stage
from sera.settings import load_config


@pytest.fixture
def verdict(byte_tokenizer: str) -> Any:
    def judge(taken: Sample, recipe: str = "all", **settings: Any) -> str | None:
        chosen = {"stages": (Stage.T1, Stage.T2), "tokenizer": byte_tokenizer} | settings
        decider = Decider(DatasetConfig(**chosen), parse_recipe(recipe, [SOURCE]), [SOURCE])
        (outcome,) = decider.decide([taken])
        assert bool(outcome.row) == bool(outcome.decision.parts) == (not outcome.decision.figures.reason)
        return outcome.decision.figures.reason or None

    return judge


def test_a_good_sample_passes(verdict: Any) -> None:
    assert [verdict(taken) for taken in pair(0)] == [None, None]


@pytest.mark.parametrize("end", [end for end in End if end is not End.SUBMITTED])
def test_only_submitted_ones(verdict: Any, end: End) -> None:
    assert verdict(sample(end=end, messages=())) == Reason.NOT_SUBMITTED


def test_the_self_check_judges_t1_only(verdict: Any) -> None:
    assert verdict(sample(0, Stage.T1, accepted=False)) == Reason.REFUSED
    assert verdict(sample(0, Stage.T2, accepted=False)) is None


def test_an_empty_patch(verdict: Any) -> None:
    assert verdict(sample(patch="\n")) == Reason.EMPTY_PATCH


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, None),
        ({"exclude_findings": ("attempt",)}, Reason.FINDINGS),
        ({"exclude_findings": ("network",)}, Reason.FINDINGS),
        ({"exclude_findings": ("cheating", "git-history")}, None),
        ({"exclude_findings": ()}, None),
    ],
)
def test_findings_by_severity_and_by_kind(
    verdict: Any, settings: dict[str, Any], reason: Reason | None
) -> None:
    found = Finding(kind="network", severity=Severity.ATTEMPT, message=2, evidence="curl")
    assert verdict(sample(findings=(found,)), **settings) == reason


@pytest.mark.parametrize("stage", list(Stage))
def test_cheating_is_left_out_by_default(verdict: Any, stage: Stage) -> None:
    found = Finding(kind="installed-copy", severity=Severity.CHEATING, message=2, evidence="cat")
    assert verdict(sample(0, stage, findings=(found,))) == Reason.FINDINGS
    assert verdict(sample(0, stage, findings=(found,)), exclude_findings=()) is None


def test_unknown_findings_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown findings \\['gambling'\\]; there are attempt, cheating"):
        load_config(DatasetConfig, pairs=["exclude_findings=['gambling']"])


@pytest.mark.parametrize(("recall", "reason"), [(0.5, None), (0.49, Reason.LOW_RECALL), (1.0, None)])
def test_recall_judges_t2_only(verdict: Any, recall: float, reason: Reason | None) -> None:
    assert verdict(sample(0, Stage.T2, agreement=agreement(recall))) == reason
    assert verdict(sample(0, Stage.T1, agreement=agreement(recall))) is None


def test_no_agreement_is_a_recall_of_nothing(verdict: Any) -> None:
    assert verdict(sample(agreement=None)) == Reason.LOW_RECALL
    assert verdict(sample(agreement=None), min_recall=0) is None


@pytest.mark.parametrize(("lines", "reason"), [(40, None), (41, Reason.LONG_PATCH)])
def test_the_length_of_a_patch(verdict: Any, lines: int, reason: Reason | None) -> None:
    assert verdict(sample(patch=patch("m", lines))) == reason


def test_a_malformed_patch_is_measured_by_its_signs(verdict: Any) -> None:
    torn = "--- a/x\n+++ b/x\n@@ -1 +1,9 @@\n+one\n+two\n"
    assert verdict(sample(patch=torn), max_patch_lines=4) is None
    assert verdict(sample(patch=torn), max_patch_lines=3) == Reason.LONG_PATCH


def test_the_mean_length_of_answers(verdict: Any) -> None:
    # A byte is a token here: 600 for the answer with its tags and the template.
    overhead = len("user\n<tool_response>\n\n</tool_response>\n") + 2
    exact = sample(messages=talk(answer="x" * (600 - overhead)))
    assert verdict(exact) is None
    assert verdict(exact, max_tool_tokens=599) == Reason.LONG_TOOL_OUTPUT


def test_the_share_that_fits(verdict: Any) -> None:
    assert verdict(sample(messages=talk(50)), max_tokens=8_000) == Reason.TRUNCATED
    assert verdict(sample(messages=talk(50)), max_tokens=8_000, min_ratio=0.1) is None


def test_nothing_to_learn(verdict: Any) -> None:
    broken = sample(messages=talk(1, last=call(arguments="{")))
    assert verdict(broken) == Reason.NOTHING_TO_LEARN
    assert verdict(sample(), max_tokens=50, min_ratio=0) == Reason.NOTHING_TO_LEARN


def test_stages_that_are_not_wanted(verdict: Any) -> None:
    assert verdict(sample(0, Stage.T1), stages=(Stage.T2,)) == Reason.OTHER_STAGE
    assert verdict(sample(0, Stage.T2), "all T1") == Reason.OTHER_STAGE
    assert verdict(sample(0, Stage.T1), "all T1", stages=(Stage.T2,)) is None


def test_what_is_refused_cheaply_is_not_counted(byte_tokenizer: str) -> None:
    decider = Decider(DatasetConfig(tokenizer=byte_tokenizer), parse_recipe("all"), [SOURCE])
    refused, taken = decider.decide(pair(0))
    assert refused.decision.figures.tokens is None
    assert taken.decision.figures.tokens


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("all r>=0.5", None),
        ("all r>=0.51", Reason.LOW_RECALL),
        ("all r>0.5", Reason.LOW_RECALL),
        ("all r<=0.5", None),
        ("all r<0.5", Reason.HIGH_RECALL),
        ("all r=0.5", None),
        ("all f1≥0.6", Reason.LOW_RECALL),
        ("all file_recall=1", Reason.LOW_RECALL),
        ("all patch>=3", Reason.SHORT_PATCH),
        ("all patch<=1", Reason.LONG_PATCH),
        ("all files>1", Reason.FEW_FILES),
        ("all files<1", Reason.MANY_FILES),
        ("all steps>3", Reason.FEW_STEPS),
        ("all steps<3", Reason.MANY_STEPS),
        ("all tool>100", Reason.SHORT_TOOL_OUTPUT),
        ("all tool<=10", Reason.LONG_TOOL_OUTPUT),
        ("all answer>100", Reason.SHORT_TOOL_ANSWER),
        ("all answer<=10", Reason.LONG_TOOL_ANSWER),
        ("all tokens>99999", Reason.SHORT),
        ("all tokens<100", Reason.LONG),
        ("all ratio<1", Reason.WHOLE),
        ("all repo:shop steps=3", None),
        ("1 patch<=1 + 1 steps>3", Reason.LONG_PATCH),
        ("1 patch<=1 + 1 steps=3", None),
    ],
)
def test_what_a_recipe_asks_for(verdict: Any, recipe: str, reason: Reason | None) -> None:
    assert verdict(sample(agreement=agreement(0.5)), recipe) == reason


def test_a_part_that_asks_for_recall_asks_it_of_t1_too(verdict: Any) -> None:
    t1 = sample(0, Stage.T1, agreement=agreement(0.2))
    assert verdict(t1, "all T1") is None
    assert verdict(t1, "all T1 r>=0.5") == Reason.LOW_RECALL


def test_a_part_replaces_only_the_settings_it_speaks_of(verdict: Any) -> None:
    low = sample(agreement=agreement(0.1), patch=patch("m", 50))
    assert verdict(low, "all r>=0") == Reason.LONG_PATCH
    assert verdict(low, "all r>=0 patch<=50") is None
    assert verdict(low, "all patch<=50") == Reason.LOW_RECALL


def test_recall_by_another_measure(verdict: Any) -> None:
    taken = sample(agreement=replace(agreement(0.9), file_recall=0.1))
    assert verdict(taken) is None
    assert verdict(taken, recall_by="file_recall") == Reason.LOW_RECALL
    with pytest.raises(ConfigError, match="no measure 'taste'; there are recall, precision"):
        verdict(taken, recall_by="taste")


def test_the_longest_answer_and_the_number_of_files(verdict: Any) -> None:
    assert verdict(sample(messages=talk(answer="x" * 300)), max_answer_tokens=300) == Reason.LONG_TOOL_ANSWER
    assert verdict(sample(messages=talk(answer="x" * 200)), max_answer_tokens=300) is None
    two = sample(patch=patch("a") + patch("b"))
    assert verdict(two, max_patch_files=1) == Reason.MANY_FILES
    assert verdict(two, max_patch_files=2) is None


def test_random_truncation_asks_for_no_ratio_and_cuts_at_an_assistant(byte_tokenizer: str) -> None:
    lengths = set()
    for seed in range(20):
        config = DatasetConfig(tokenizer=byte_tokenizer, truncation="random", max_tokens=8_000, seed=seed)
        (outcome,) = Decider(config, parse_recipe("all"), [SOURCE]).decide([sample(messages=talk(50))])
        row = json.loads(outcome.row)
        assert row["messages"][-1]["role"] == "assistant"
        assert row["tokens"] <= 8_000
        lengths.add(row["tokens"])
    assert len(lengths) > 10


def test_a_conversation_without_system_prompt_is_refused(verdict: Any) -> None:
    assert verdict(sample(messages=talk()[1:])) == "unrenderable"


def owners(samples: list[Sample]) -> set[str]:
    claims = [(one.index, (one.source.run, one.task), claim_of(one)) for one in samples if claim_of(one)]
    return {taken.task for taken in samples} - {task for _, task in duplicates(claims)}


def test_the_lowest_index_owns_a_patch_whatever_the_order() -> None:
    same, other = patch("same"), patch("other")
    samples = [*pair(2, patch=same), *pair(1, patch=same), *pair(3, patch=other), *pair(4, patch=same)]
    for seed in range(20):
        random.Random(seed).shuffle(samples)
        assert owners(samples) == {"task-1", "task-3"}


def test_t2_patches_claim_nothing() -> None:
    assert owners([sample(1, patch="x"), sample(2, patch="x")]) == {"task-1", "task-2"}


@pytest.mark.parametrize("flaw", [{"end": End.STEP_LIMIT}, {"accepted": False}, {"patch": ""}])
def test_a_t1_that_failed_claims_nothing(flaw: dict[str, Any]) -> None:
    failed = sample(1, Stage.T1, **{"patch": "x", **flaw})
    assert owners([failed, sample(2, Stage.T1, patch=failed.patch)]) == {"task-1", "task-2"}


def test_the_same_task_of_two_runs_is_two() -> None:
    claims = [(1, ("run-2", "task-1"), b"x"), (1, ("run-1", "task-1"), b"x")]
    assert duplicates(claims) == {("run-2", "task-1")}
