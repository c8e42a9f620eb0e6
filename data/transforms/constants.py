"""Small tensors of fixed numbers, copied to a device once: a copy in every step would wait for the device."""

from __future__ import annotations

from functools import lru_cache

import torch


@lru_cache(256)
def constant(values: tuple[float, ...] | tuple[int, ...], device: torch.device) -> torch.Tensor:
    """A tensor (len(values),) on a device, float32 or int64 as its numbers are; not to be changed."""
    with torch.inference_mode(False):  # one made while a network is judged may serve in training, too
        return torch.tensor(values, device=device)
