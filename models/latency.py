"""A reading: how long the deployed network takes for one image on this machine."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from models.readings import Reading

if TYPE_CHECKING:
    from models.plan import Architecture

WARM_UP, REPEATS = 10, 50
"""Runs before the clock counts, in which ONNX Runtime lays out its memory; runs of which the median is taken."""


def latency_ms(arch: Architecture) -> float:
    """Milliseconds of ONNX Runtime for one image on one thread: the median of repeated runs.

    The weights are random, which the time does not depend on. Leaves torch's seed alone.
    """
    import torch

    from models.export import session, write

    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        write(arch.build(), arch.input_shape, file)
        network = session(file)
    image = {"images": torch.zeros(1, *arch.input_shape).numpy()}
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        start = time.perf_counter()
        network.run(None, image)
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[WARM_UP:])


LATENCY = Reading("latency_ms", "Latency", "ms", latency_ms, timed=True)
"""ONNX Runtime's time for one image, batch 1, one thread, milliseconds."""
