"""The scan and the licences as steps of a build. What they count goes into the manifest's tallies, by names:

scan/KIND/ACTION/values   different values       scan/KIND/earlier/values   placeholders of the run itself
scan/KIND/ACTION/rows     samples with one       scan/KIND/ACTION/in/PLACE  values that stand there
licence/ID                files of that licence that samples change or show
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import msgspec

from sera.datasets.safety.cleaning import Cleaned, Cleaner
from sera.datasets.safety.config import SafetyConfig
from sera.datasets.safety.finder import make_finder
from sera.datasets.safety.licences import file_licences
from sera.datasets.sample import Sample
from sera.redaction import placeholders

Step = Callable[[Sample, Counter[str]], Sample]


def scan_step(config: SafetyConfig, environment: Mapping[str, str] = os.environ) -> Step:
    """Cleans samples; one that the settings want dropped is marked `unsafe`. Raises `ConfigError` as
    `make_finder` does."""
    cleaner = Cleaner(config, make_finder(config, environment))

    def scan(sample: Sample, tallies: Counter[str]) -> Sample:
        for kind, number in placeholders(_texts(sample)).items():
            tallies[f"scan/{kind}/earlier/values"] += number
        cleaned = cleaner.clean(sample)
        tallies.update(_counted(cleaned))
        return msgspec.structs.replace(cleaned.sample, unsafe=True) if cleaned.dropped else cleaned.sample

    return scan


def licence_step(sample: Sample, tallies: Counter[str]) -> Sample:
    """Counts the licences of the files that a sample touches."""
    for licence, files in file_licences(sample).items():
        tallies[f"licence/{licence}"] += files
    return sample


def _counted(cleaned: Cleaned) -> Counter[str]:
    counts: Counter[str] = Counter()
    for found in cleaned.spotted:
        name = f"scan/{found.kind}/{found.action}"
        counts[f"{name}/values"] += 1
        counts[f"{name}/rows"] = 1
        for place in found.places:
            counts[f"{name}/in/{place}"] += 1
    return counts


def _texts(sample: Sample) -> Iterator[str]:
    for message in sample.messages:
        yield message.content
        yield message.reasoning
        for call in message.tool_calls:
            yield call.arguments
