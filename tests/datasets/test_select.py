"""Each filter at its boundary, and who owns a patch."""

import random
from typing import Any

import pytest
from made_samples import SOURCE, agreement, call, pair, patch, sample, talk

from sera.datasets import DatasetConfig, Sample
from sera.datasets.candidate import Candidate
from sera.datasets.formats import FORMATS
from sera.datasets.select import Duplicates, Reason, filters, first_reason
from sera.datasets.tokens import load_counter
from sera.errors import ConfigError, DatasetError
from sera.records import End, Finding, Severity, Stage
from sera.settings import load_config


@pytest.fixture
def verdict(byte_tokenizer: str) -> Any:
    counter = load_counter(byte_tokenizer)

    def judge(taken: Sample, **settings: Any) -> Reason | None:
        config = DatasetConfig(stages=(Stage.T1, Stage.T2), **settings)
        return first_reason(Candidate(taken, FORMATS["hermes"], counter, config), filters(config))

    return judge


def test_a_good_sample_passes(verdict: Any) -> None:
    assert [verdict(taken) for taken in pair(0)] == [None, None]


@pytest.mark.parametrize("end", [end for end in End if end is not End.SUBMITTED])
def test_only_submitted_ones(verdict: Any, end: End) -> None:
    assert verdict(sample(end=end, messages=())) is Reason.NOT_SUBMITTED


def test_the_self_check_judges_t1_only(verdict: Any) -> None:
    assert verdict(sample(0, Stage.T1, accepted=False)) is Reason.REFUSED
    assert verdict(sample(0, Stage.T2, accepted=False)) is None


def test_an_empty_patch(verdict: Any) -> None:
    assert verdict(sample(patch="\n")) is Reason.EMPTY_PATCH


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
    assert verdict(sample(findings=(found,)), **settings) is reason


@pytest.mark.parametrize("stage", list(Stage))
def test_cheating_is_left_out_by_default(verdict: Any, stage: Stage) -> None:
    found = Finding(kind="installed-copy", severity=Severity.CHEATING, message=2, evidence="cat")
    assert verdict(sample(0, stage, findings=(found,))) is Reason.FINDINGS
    assert verdict(sample(0, stage, findings=(found,)), exclude_findings=()) is None


def test_unknown_findings_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown findings \\['gambling'\\]; there are attempt, cheating"):
        load_config(DatasetConfig, pairs=["exclude_findings=['gambling']"])


@pytest.mark.parametrize(("recall", "reason"), [(0.5, None), (0.49, Reason.LOW_RECALL), (1.0, None)])
def test_recall_judges_t2_only(verdict: Any, recall: float, reason: Reason | None) -> None:
    assert verdict(sample(0, Stage.T2, agreement=agreement(recall))) is reason
    assert verdict(sample(0, Stage.T1, agreement=agreement(recall))) is None


def test_no_agreement_is_a_recall_of_nothing(verdict: Any) -> None:
    assert verdict(sample(agreement=None)) is Reason.LOW_RECALL
    assert verdict(sample(agreement=None), min_recall=0) is None


@pytest.mark.parametrize(("lines", "reason"), [(40, None), (41, Reason.LONG_PATCH)])
def test_the_length_of_a_patch(verdict: Any, lines: int, reason: Reason | None) -> None:
    assert verdict(sample(patch=patch("m", lines))) is reason


def test_a_malformed_patch_is_measured_by_its_signs(verdict: Any) -> None:
    torn = "--- a/x\n+++ b/x\n@@ -1 +1,9 @@\n+one\n+two\n"
    assert verdict(sample(patch=torn), max_patch_lines=4) is None
    assert verdict(sample(patch=torn), max_patch_lines=3) is Reason.LONG_PATCH


def test_the_mean_length_of_answers(verdict: Any) -> None:
    # A byte is a token here: 600 for the answer with its tags and the template.
    overhead = len("user\n<tool_response>\n\n</tool_response>\n") + 2
    exact = sample(messages=talk(answer="x" * (600 - overhead)))
    assert verdict(exact) is None
    assert verdict(exact, max_tool_tokens=599) is Reason.LONG_TOOL_OUTPUT


def test_the_share_that_fits(verdict: Any) -> None:
    assert verdict(sample(messages=talk(50)), max_tokens=8_000) is Reason.TRUNCATED
    assert verdict(sample(messages=talk(50)), max_tokens=8_000, min_ratio=0.1) is None


def test_nothing_to_learn(verdict: Any) -> None:
    broken = sample(messages=talk(1, last=call(arguments="{")))
    assert verdict(broken) is Reason.NOTHING_TO_LEARN
    assert verdict(sample(), max_tokens=50, min_ratio=0) is Reason.NOTHING_TO_LEARN


def test_stages_that_are_not_wanted(byte_tokenizer: str) -> None:
    config = DatasetConfig()
    candidate = Candidate(sample(0, Stage.T1), FORMATS["hermes"], load_counter(byte_tokenizer), config)
    assert first_reason(candidate, filters(config)) is Reason.OTHER_STAGE
    assert candidate.figures("x").tokens is None


def test_a_conversation_without_system_prompt_is_refused(verdict: Any) -> None:
    with pytest.raises(DatasetError, match="system prompt"):
        verdict(sample(messages=talk()[1:]))


def owners(samples: list[Sample]) -> set[str]:
    duplicates = Duplicates()
    for taken in samples:
        duplicates.see(taken)
    return {taken.task for taken in samples} - {task for _, task in duplicates.tasks()}


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
    twin = type(SOURCE)(repository="example/shop", commit="c0ffee", run="run-2")
    duplicates = Duplicates()
    duplicates.see(sample(1, Stage.T1, source=twin))
    duplicates.see(sample(1, Stage.T1))
    assert duplicates.tasks() == {("run-2", "task-1")}
