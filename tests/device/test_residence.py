"""What is in a device's memory and when, on the meta device, which acts as a GPU; and how much memory is left."""

from __future__ import annotations

import math

import pytest
import torch

from reno.device.residence import bring, left_of_limit, meta_acts_as, out_of_memory, send_away, visiting
from tests.device.places import Places

META, CPU = torch.device("meta"), torch.device("cpu")


def test_a_visitor_is_on_the_device_only_meanwhile_even_if_it_fails():
    module = Places()
    with meta_acts_as("cuda"), visiting(META, [module]):
        assert module.sent == ["meta"]
    assert module.sent == ["meta", "cpu"]
    with pytest.raises(KeyError), meta_acts_as("cuda"), visiting(META, [module]):
        raise KeyError
    assert module.sent == ["meta", "cpu"] * 2


def test_nothing_leaves_a_device_that_has_no_memory_of_its_own():
    for device, acts in ((CPU, "cuda"), (torch.device("mps"), "cuda"), (META, "cpu"), (META, "mps")):
        module = Places()
        with meta_acts_as(acts):
            send_away(device, [module])
        assert module.sent == []
    with meta_acts_as("cuda"):
        pass
    module = Places()
    send_away(META, [module])  # it acts so only meanwhile
    assert module.sent == []


def test_modules_are_brought_to_the_device_that_is_named():
    modules = [torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)]
    bring(META, modules)
    assert all(module.weight.is_meta for module in modules)


@pytest.mark.parametrize(
    ("error", "of_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("Cannot allocate memory"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a memory object"), True),
        (RuntimeError("could not execute a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for the convolution forward propagation"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_failed_allocation_is_known_by_its_type_or_words(error, of_memory):
    assert out_of_memory(error) is of_memory


@pytest.fixture
def machine(tmp_path):
    """machine(group, {folder: (limit, anonymous bytes)}): the root of a machine whose process is in that group."""

    def make(group, limits):
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(f"1:name=x:/old\n0::{group}\n")
        for folder, (limit, used) in limits.items():
            place = tmp_path / "sys" / "fs" / "cgroup" / folder
            place.mkdir(parents=True, exist_ok=True)
            (place / "memory.max").write_text(f"{limit}\n")
            (place / "memory.stat").write_text(f"anon {used}\nfile 999999\n")
        return tmp_path

    return make


def test_the_tightest_limit_up_to_the_top_counts_and_cached_files_do_not(machine):
    root = machine("/job/step", {"": ("max", 900), "job": (1000, 300), "job/step": (5000, 200)})
    assert left_of_limit(root) == 700


def test_the_own_group_may_be_the_tightest(machine):
    assert left_of_limit(machine("/job/step", {"job": (1000, 300), "job/step": (500, 200)})) == 300


def test_a_limit_of_the_whole_machine_counts(machine):
    assert left_of_limit(machine("/", {"": (400, 100)})) == 300


def test_where_nothing_limits_there_is_no_limit(machine, tmp_path):
    assert left_of_limit(tmp_path / "no such machine") == math.inf
    assert left_of_limit(machine("/job", {"job": ("max", 300)})) == math.inf
