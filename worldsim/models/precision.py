"""Sixteen bits are for the denoiser alone: torch.autocast around a WorldModel reaches nothing else of it.

Prior, readout and rasteriser work in metres, of which bfloat16 knows but centimetres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Autocast = Callable[[], torch.autocast]


@contextmanager
def without_autocast(device: torch.device) -> Iterator[Autocast]:
    """Computes in the tensors' own precision, whatever the caller asked for.

    Yields:
        What brings back that which the caller asked for, for as long as the denoiser runs.
    """
    kind = device.type
    asked, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        yield lambda: torch.autocast(kind, dtype=dtype, enabled=asked)
