"""TRL from rows to a checkpoint, on a processor."""

import pytest
from training_support import Told, changed

from sera.training import Request, train_student

pytest.importorskip("trl")


def test_all_weights(request_: Request) -> None:
    told = Told()
    finished = train_student(changed(request_, held_out=0.25), told)
    assert told.losses[-1] < told.losses[0]
    assert finished.held_out_after < finished.held_out_before


def test_an_adapter_resumed_and_exported(request_: Request) -> None:
    from sera.training.gguf_export import export_gguf

    request = changed(request_, lora={"rank": 4, "alpha": 8})
    told = Told()
    train_student(request, told)
    print(export_gguf(request.out, "f16"))
    assert told.losses[-1] < told.losses[0]
