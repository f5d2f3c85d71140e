"""The page: its sections and figures, that it runs and loads nothing, and that nothing of strangers is markup."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from sera.datasets.manifest import Manifest as Dataset
from sera.datasets.manifest import Tokens
from sera.evaluation.behaviour import Behaviour, Turns
from sera.evaluation.record import Outcome, State
from sera.evaluation.results import Results
from sera.evaluation.statistics import compare, rate_of
from sera.evaluation.tasks.record import Instance, Kind
from sera.runs.ledger import Amount, Balance
from sera.specialize.config import SpecializeConfig
from sera.specialize.plan import Request
from sera.specialize.report.findings import Evaluated, Findings
from sera.specialize.report.page import report_page
from sera.specialize.stage import Done, Stage
from sera.training.contract import Step

EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>"
WINS = {"before": {"a": False, "b": True, "c": False}, "after": {"a": True, "b": False, "c": False}}


class Page(HTMLParser):
    """What there is on a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.sections: list[str] = []
        self.figures: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = {name: value or "" for name, value in attrs}
        self.attributes += told.items()
        if tag == "section":
            self.sections.append(told["id"])
        if tag == "svg":
            assert told["role"] == "img"
            self.figures.append(told["aria-label"])

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def evaluated(name: str) -> Evaluated:
    wins = {task: [won] for task, won in WINS[name].items()}
    strict = 1 if name == "before" else 9
    behaviour = Behaviour(
        rollouts=3, turns=Turns(strict=strict, repaired=1, unusable=10 - strict), strict_share=strict / 11,
        usable_share=(strict + 1) / 11, steps=4, prompt_tokens=900, completion_tokens=90, seconds=3,
        empty_share=0, ends={"submitted": 3}, findings={f"note: {EVIL}": 1}, cheating=0,
    )  # fmt: skip
    comparison = compare({t: [w] for t, w in WINS["before"].items()}, wins) if name == "after" else None
    results = Results(
        model=EVIL, tasks=3, seeds=1, owed=0, rate=rate_of(wins), states={"resolved": 1, "unresolved": 2},
        left_out={}, flaky=(), behaviour=behaviour, spent=Balance(settled=Amount(nano=2_500_000_000)),
        comparison=comparison,
    )  # fmt: skip
    outcomes = {
        task: [Outcome(task=task, seed=0, state=State.RESOLVED if won else State.UNRESOLVED, reason=EVIL)]
        for task, (won,) in wins.items()
    }
    patch = f"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-old\n+{EVIL}\n"
    return Evaluated(results=results, outcomes=outcomes, patches=[{"a": patch}])


def task(name: str) -> Instance:
    return Instance(
        instance_id=name, repo="shop", base_commit="", problem_statement=f"{name} is wrong. {EVIL}", patch=EVIL,
        test_patch="", fail_to_pass="[]", pass_to_pass="[]", kind=Kind.MUTANT, tree="", environment="", path="x.py",
    )  # fmt: skip


@pytest.fixture
def request_() -> Request:
    config = SpecializeConfig(student="tiny", generate={"teacher": {"base_url": "https://me:pass@host/v1"}})
    return Request(repo=EVIL, out=Path("out"), config=config, repeat=("specialize", EVIL))


@pytest.fixture
def found() -> Findings:
    steps = [Step(step=n, epoch=n, loss=2.0 - n / 10, tokens=100, seconds=1.0) for n in range(1, 6)]
    kept = [Step(step=n, epoch=n, held_out_loss=2.0 - n / 20) for n in (0, 5)]
    done = Done(
        stage="train", argv=(), fixed={}, fresh={}, key="", identity="", code=0, began=0.0, seconds=3700.0
    )
    return Findings(
        instances=tuple(map(task, "abc")), steps=(*steps, *kept), before=evaluated("before"),
        after=evaluated("after"), done={"train": done},
    )  # fmt: skip


@pytest.fixture
def page(request_: Request, found: Findings) -> str:
    stages = {
        "train": Stage(name="train", why="", amount="", argv=("train", EVIL), out=Path("out"), results=())
    }
    return report_page(request_, stages, found)


def test_sections_and_figures(page: str) -> None:
    read = Page(page)
    assert read.sections == ["results", "calls", "examples", "training", "audit", "cost", "repeat"]
    assert len(read.figures) == 3
    assert read.figures[0] == (
        "Tasks resolved: 33.3 % (95 % interval 6.1 to 79.2) before, 33.3 % (95 % interval 6.1 to 79.2) after."
    )
    assert read.figures[1].endswith("9.1 % before, 81.8 % after.")
    assert "from 2.000 to 1.750" in read.figures[2]
    words = " ".join(read.words)
    assert "The difference of +0.0 points is within noise" in words
    assert "1 won, 1 lost" in words
    assert "1 h 01 min" in words
    assert "$5.00" in words
    for link in (value for name, value in read.attributes if name == "href"):
        assert link.startswith("#")


def test_nothing_of_strangers_is_markup_and_nothing_is_loaded(page: str) -> None:
    read = Page(page)
    assert not {"script", "img", "link", "iframe", "object"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name.startswith("on") or name == "src"]
    assert "default-src 'none'" in page
    assert "alert(1)" in " ".join(read.words)
    assert "me:pass" not in page


def test_won_and_lost_show_both_patches(page: str) -> None:
    assert page.index("Won: resolved only after") < page.index("Lost: resolved only before")
    assert "<del>-old</del>" in page
    assert "<ins>+&lt;/pre&gt;" in page
    assert "Resolved before and after" not in page


def test_all_resolved_is_not_certainty_and_a_rehearsal_is_called_one(
    request_: Request, found: Findings
) -> None:
    one = evaluated("after")
    rate = rate_of({str(n): [True] for n in range(8)})
    manifest = Dataset(
        sources=(), profile="", teachers=({"kind": "rehearsal"},), rehearsed=4, settings={}, tokenizer="", counts={},
        rows=4, cut_rows=0, untrained_turns=0, tokens=Tokens(total=1, max=1, mean=1.0), files={},
    )  # fmt: skip
    results = msgspec.structs.replace(one.results, rate=rate, comparison=None, tasks=8)
    better = msgspec.structs.replace(one, results=results)
    page = report_page(request_, {}, msgspec.structs.replace(found, after=better, dataset=manifest))
    words = " ".join(Page(page).words)
    assert words.count("100.0 % (95 % interval 67.6 to 100.0)") >= 2, "in the headline and in the facts"
    assert "Rehearsal data: 4 of 4 rows" in words
    assert "Rehearsal" not in " ".join(Page(report_page(request_, {}, found)).words)


def test_a_page_of_nothing_says_so(request_: Request) -> None:
    page = report_page(request_, {}, Findings())
    assert "Nothing is evaluated yet" in page
    assert Page(page).sections == ["repeat"]


def test_a_majority_decides_and_an_unfinished_task_is_not_counted() -> None:
    one = evaluated("before")
    three = msgspec.structs.replace(one, results=msgspec.structs.replace(one.results, seeds=3))
    assert three.resolved("a") is None
    assert one.resolved("b") is True


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium")
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_it(page: str, tmp_path: Path, width: int) -> None:
    file, shot, home = tmp_path / "report.html", tmp_path / "shot.png", tmp_path / "home"
    file.write_text(page, "utf-8")
    argv = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"]
    subprocess.run(
        [*argv, f"--window-size={width},900", f"--screenshot={shot}", file.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert shot.stat().st_size > 10_000
