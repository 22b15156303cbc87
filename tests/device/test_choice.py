"""The device and the dtype of a job, as asked or chosen."""

from __future__ import annotations

import pytest
import torch

from reno.device.choice import choose_device, choose_dtype, make_deterministic, why_dtype
from reno.spec.errors import BadInput


def test_a_device_that_is_there_is_the_one_asked_for():
    assert choose_device("cpu") == torch.device("cpu")


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert choose_device("auto") == torch.device(expected)


def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("cuda:1") == torch.device("cuda:1") and choose_device("cuda") == torch.device("cuda")
    for name in ("cuda:2", "mps"):
        with pytest.raises(BadInput) as refused:
            choose_device(name)
        assert str(refused.value) == (
            f"device={name} is not there: this machine has cpu, cuda:0, cuda:1; use one of these or device=auto"
        )
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BadInput, match="this machine has cpu; use"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("asked", "device", "allowed", "expected"),
    [
        ("auto", "cuda", (), "float16"),
        ("auto", "cpu", (), "float32"),
        ("auto", "mps", (), "float32"),
        ("auto", "cuda", ("bfloat16", "float32"), "bfloat16"),
        ("auto", "cpu", ("bfloat16", "float32"), "float32"),
        ("float64", "cuda", (), "float64"),
        ("float32", "cuda", ("bfloat16", "float32"), "float32"),
    ],
)
def test_the_dtype_is_the_devices_own_unless_the_generator_cannot_or_another_is_asked_for(
    asked, device, allowed, expected
):
    assert choose_dtype(asked, device, allowed) == expected


def test_a_dtype_that_the_generator_cannot_run_in_is_refused():
    with pytest.raises(BadInput) as refused:
        choose_dtype("float16", "cuda", ("bfloat16", "float32"))
    assert str(refused.value) == ("dtype=float16 does not work with this generator; use bfloat16, float32 or auto")


def test_the_reason_for_a_dtype_is_told():
    assert why_dtype("float16", "float16", "cuda") == "as asked"
    assert why_dtype("auto", "float16", "cuda").startswith("chosen for cuda: half the memory of float32")
    assert why_dtype("auto", "bfloat16", "cuda") == "the first that the generator may run in"


def test_torch_is_asked_to_repeat_its_floats(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    threads = torch.get_num_threads()
    try:
        torch.use_deterministic_algorithms(False)
        make_deterministic(None)
        assert torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == threads
        assert torch.is_deterministic_algorithms_warn_only_enabled()  # not every operation has such a kernel
        make_deterministic(threads + 1)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
