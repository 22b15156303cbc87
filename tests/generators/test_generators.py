"""What every generator has, on a toy without weights."""

from __future__ import annotations

import pytest
import torch

from reno.device.residence import meta_acts_as
from reno.generators import Generator
from reno.spec.errors import BadInput
from reno.spec.job import Execution
from tests.device.places import Places


class Toy(Generator):
    latent_shape, image_size = (1, 2, 2), (2, 2)


def test_a_generator_that_reads_no_prompt_and_has_no_decoder():
    toy = Toy()
    toy.check_prompt("anything")
    assert toy.encode(("a", "b")) == ["a", "b"]
    assert (toy.dtype, toy.device) == (torch.float32, torch.device("cpu"))
    with pytest.raises(BadInput) as refused:
        toy.decode(torch.zeros(1, 1, 2, 2))
    assert str(refused.value) == (
        "this generator has no image decoder of its own; use another method than decoder_only"
    )
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


class ResnetBlock2D(torch.nn.Linear):
    """A block by its name, which is how diffusers' blocks are known."""


@pytest.mark.parametrize(("checkpointing", "compiled"), [(True, False), (False, True), (True, True), (False, False)])
def test_blocks_are_checkpointed_and_compiled_as_asked_and_can_be_given_back(checkpointing, compiled):
    toy, block = Toy(), ResnetBlock2D(2, 2)
    toy.blocks = (torch.nn.Sequential(block),)
    toy.run_as(Execution(checkpointing=checkpointing, compile=compiled))
    own = vars(block).get("forward")
    assert (own is not None) is (checkpointing or compiled)
    inner = own.args[0] if checkpointing else own  # what is checkpointed is run again by a partial of it
    assert hasattr(inner, "_torchdynamo_orig_callable") is compiled
    toy.run_as(Execution(checkpointing=False))
    assert "forward" not in vars(block)


def test_channels_last_is_a_form_that_can_be_taken_back():
    toy = Toy()
    convolution = torch.nn.Conv2d(4, 4, 3)
    toy.blocks = (torch.nn.Sequential(convolution),)
    for channels_last in (True, False):
        toy.run_as(Execution(checkpointing=False, channels_last=channels_last))
        assert convolution.weight.is_contiguous(memory_format=torch.channels_last) is channels_last
