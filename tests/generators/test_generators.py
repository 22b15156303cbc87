"""What every generator has, on a toy without weights."""

from __future__ import annotations

import pytest
import torch

from reno.device.residence import meta_acts_as
from reno.generators import Generator
from reno.spec.errors import BadInput
from reno.spec.job import Execution


class Toy(Generator):
    latent_shape, image_size = (1, 2, 2), (2, 2)


class Places(torch.nn.Module):
    """A module that remembers where it was sent."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def to(self, place):
        self.sent.append(str(place))


def test_a_generator_that_reads_no_prompt_and_has_no_decoder():
    toy = Toy()
    toy.check_prompt("anything")
    assert toy.encode(("a", "b")) == ["a", "b"]
    assert (toy.dtype, toy.device) == (torch.float32, torch.device("cpu"))
    with pytest.raises(BadInput, match="has no image decoder of its own; use another method than decoder_only"):
        toy.decode(torch.zeros(1, 1, 2, 2))
    with pytest.raises(TypeError, match="Toy has no __call__"):
        toy(torch.zeros(1, 1, 2, 2), ["a"])
    toy.bring(), toy.leave(), toy.run_as(Execution(checkpointing=True))  # it has nothing to move or checkpoint


def test_its_parts_are_brought_and_everything_leaves():
    toy = Toy()
    toy.device, toy.parts, toy.reading = torch.device("meta"), (Places(), Places()), (Places(),)
    with meta_acts_as("cuda"):
        toy.bring()
        toy.leave()
    assert [part.sent for part in toy.parts] == [["meta", "cpu"]] * 2 and toy.reading[0].sent == ["cpu"]


def test_channels_last_is_a_form_that_can_be_taken_back():
    toy = Toy()
    convolution = torch.nn.Conv2d(4, 4, 3)
    toy.blocks = (torch.nn.Sequential(convolution),)
    for channels_last in (True, False):
        toy.run_as(Execution(checkpointing=False, channels_last=channels_last))
        assert convolution.weight.is_contiguous(memory_format=torch.channels_last) is channels_last
