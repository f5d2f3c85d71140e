"""A lease tells a living process from one that is gone."""

import os
import subprocess
import sys

import pytest

from sera.leases import Lease, own_lease, read_lease


def test_own_lease_is_held_and_survives_text() -> None:
    lease = own_lease()
    assert lease.held
    assert lease.pid == os.getpid()
    assert read_lease(str(lease)) == lease


def test_lease_of_a_process_that_ended() -> None:
    script = "from sera.leases import own_lease; print(own_lease())"
    text = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    lease = read_lease(text.strip())
    assert lease is not None
    assert not lease.held


def test_same_number_is_not_the_same_process() -> None:
    own = own_lease()
    assert not own._replace(start=own.start + 1).held


def test_what_cannot_be_seen_from_here_counts_as_held() -> None:
    own = own_lease()._replace(start=1)
    assert not own.held
    for lease in (own._replace(boot="00000000"), own._replace(namespace=own.namespace + 1)):
        assert not lease.ours_to_judge
        assert lease.held


@pytest.mark.parametrize(
    "text", ["", "me", "12345678-1-x-1", "12345678-1-2", "123-1-1-1", "12345678-1-2-3-4"]
)
def test_what_is_no_lease(text: str) -> None:
    assert read_lease(text) is None


def test_text_form() -> None:
    assert str(Lease("0123abcd", 42, 7, 99)) == "0123abcd-42-7-99"
