"""Rehearsing a job: a plan whose weights need not be on this disk, run on tensors without values.

Tensors of torch's `meta` device have a shape and a dtype and no memory. The whole program runs on them unchanged, in
seconds: the same modules, checkpointing, autograd, optimiser. Where it reads a value, it gets a zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from reno.device.residence import meta_acts_as
from reno.running.fit.live_bytes import LiveBytes
from reno.running.located import Find
from reno.running.plan import Plan, make_plan
from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint, JobSpec
from reno.weights.architectures import NAMES, architecture
from reno.weights.checkpoints import Located, locate, looks_local
from reno.weights.folders import write_without_weights
from reno.weights.images import forget_constants

META = torch.device("meta")
aten = torch.ops.aten


@contextlib.contextmanager
def rehearsal(device_type: str) -> Iterator[LiveBytes]:
    """A context in which META stands for a device of that kind: a program can read values from it, and the bytes of its
    live tensors are counted. No tensor of META is kept afterwards."""
    try:
        with meta_acts_as(device_type), fused_attention(), LiveBytes("meta") as live, MadeUpValues():
            yield live
    finally:
        forget_constants()


class MadeUpValues(TorchDispatchMode):
    """Makes up the values of META's tensors: every number is 0, every flag False, and `nonzero` finds no element. So
    the loop's checks for failures find none."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            value = args[0]
            if func is aten._local_scalar_dense.default:
                return torch.zeros((), dtype=value.dtype).item()
            if func is aten.nonzero.default:
                return torch.empty((0, value.dim()), dtype=torch.int64, device=META)
            device = kwargs.get("device")
            if func is aten._to_copy.default and device is not None and torch.device(device) != META:
                zero = torch.zeros((), dtype=kwargs.get("dtype") or value.dtype, device=device)
                return zero.expand(value.shape)  # the full shape, without its memory
        return func(*args, **kwargs)


@contextlib.contextmanager
def fused_attention() -> Iterator[None]:
    """A context in which attention runs by the memory-efficient kernel, as on GPUs and CPUs. By default META would keep
    whole attention matrices. The function itself is replaced, because a torch mode is not active when a backward pass
    runs checkpointed blocks again."""
    functional = torch.nn.functional
    usual = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = _fused_attention
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = usual


def _fused_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if attn_mask is not None:
        whole = (*query.shape[:-1], key.shape[-2])
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).expand(whole)
    log_sums = any(tensor.requires_grad for tensor in (query, key, value))
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, log_sums, dropout_p, is_causal, scale=scale
    )[0]


def plan_without_weights(job: JobSpec, device_type: str, scratch: Path) -> Plan:
    """The plan of a job on a device of that kind. Its checkpoints are folders with configurations: the user's own, or
    folders written to `scratch` for the published checkpoints that are known. Raises BadInput for an unknown one."""

    return make_plan(job, without_weights(scratch), device_type)


def without_weights(scratch: Path) -> Find:
    """A function that finds a checkpoint's configurations, as `plan_without_weights` does."""

    def find(checkpoint: Checkpoint, knob: str, folders: tuple[str, ...] = ("",)) -> Located:
        return _locate(checkpoint, knob, scratch)

    return find


def _locate(checkpoint: Checkpoint, knob: str, scratch: Path) -> Located:
    """A folder with a checkpoint's configurations."""
    folder = Path(checkpoint.path).expanduser()
    if not folder.is_dir():
        known = {architecture(name).published: name for name in NAMES}
        if checkpoint.path not in known:
            if looks_local(checkpoint.path):
                locate(checkpoint, knob)  # raises BadInput that says what is wrong with the path
            raise BadInput(
                f"{knob}.path={checkpoint.path}: its architecture is not known here; give a folder that holds the "
                f"checkpoint's configuration, or one of {', '.join(known)}"
            )
        folder = scratch / known[checkpoint.path]
        if not folder.exists():
            write_without_weights(architecture(known[checkpoint.path]), folder)
    return Located(checkpoint.path, folder.resolve(), f"without weights: {folder}", None)
