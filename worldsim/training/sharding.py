"""Weights, gradients and optimizer states split over processes: FSDP2 through accelerate, on GPUs and on CPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, FullyShardedDataParallelPlugin
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def make_accelerator(model: nn.Module, shard: bool) -> Accelerator:
    """An Accelerator that keeps the whole model in each process, or splits it.

    Args:
        model: That will be prepared; the members of its module lists are gathered one at a time.
        shard: Whether to split.

    Raises:
        ValueError: Where there is nothing to split over.
    """
    # Told that it is a CPU, accelerate joins the processes of torchrun over gloo; else each would train on its own.
    cpu = not torch.accelerator.is_available()
    # Never what accelerate launch or the environment say: the loss runs prior, readout and rasteriser as well, and of
    # metres bfloat16 knows but centimetres.
    precision = "no"
    if not shard:
        # Which parameters a loss reaches hangs on levers and chance (a dropped hint): processes need not agree.
        together = DistributedDataParallelKwargs(find_unused_parameters=True)
        return Accelerator(cpu=cpu, mixed_precision=precision, kwargs_handlers=[together])
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:  # as torchrun and accelerate launch say
        raise ValueError("train.shard: must be false for one process, there is nothing to split over")
    members = {type(m).__name__ for each in model.modules() if isinstance(each, nn.ModuleList) for m in each}
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap" if members else None,
        transformer_cls_names_to_wrap=sorted(members) or None,
        # Every process has built the same model: none waits for the weights of the first.
        cpu_ram_efficient_loading=False,
    )
    accelerator = Accelerator(cpu=cpu, mixed_precision=precision, fsdp_plugin=plugin)
    if cpu:
        # accelerate 1.15 heeds the plugin on accelerators alone; torch's fully_shard runs over gloo as well.
        accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = plugin
    return accelerator


def whole(value: Tensor) -> Tensor:
    """A tensor put together from the parts of all processes, which must all call this; others as they are."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def gather(values: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole tensors on the CPU, one after another; all processes must call this, those that do not keep get none."""
    gathered = {}
    for name, value in values.items():
        full = whole(value)
        if keep:
            gathered[name] = full.detach().cpu()
    return gathered


def spread(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device of `like`, and split as that is."""
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements) if isinstance(like, DTensor) else value
