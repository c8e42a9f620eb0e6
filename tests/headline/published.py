"""The published design on the comparison's data, trained to the end of its own schedule."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from models.readings import FLOPS, PARAMS, read
from search.config_record import record
from search.objective import log_score
from search.run.state.sampler import derived
from search.run.training.fit import fit
from tests.headline import results
from tests.headline.problems import folder_of, name_of, published, task_of

METHOD = "published design"


def train(data: str, count: int, seed: int, epochs: int, device: torch.device) -> results.Run:
    """One seed, its last epoch judged on the validation part; the seconds are of the training and every judging."""
    task = task_of(folder_of(data, count))
    config = published(task)
    price = read((PARAMS, FLOPS), config.arch)
    seconds, error, began = 0.0, 0.0, time.process_time()
    for reached in fit(task, config, epochs=epochs, seed=derived(seed, 0), device=device):
        epoch = reached.epoch
        seconds, error = seconds + epoch.seconds, epoch.error
        told = f"{data} seed {seed}: epoch {epoch.epoch} of {epochs}, {error:.3f} px, {seconds:.0f} s"
        print(told, file=sys.stderr, flush=True)
    return results.Run(
        data=name_of(data, count),
        method=METHOD,
        seed=seed,
        log_score=log_score(price["params_m"], price["gflops"], error),
        error=error,
        **price,
        trials=0,
        search_s=0.0,
        search_cpu_s=0.0,
        search_wall_s=0.0,
        train_s=seconds,
        train_cpu_s=time.process_time() - began,
        epochs=epochs,
        images=len(task.split(config.arch.size).train.rows),
        config=json.dumps(record(config)),
        machine=results.machine(device.type == "cuda"),
        day=results.today(),
    )


def run(data: str, count: int, seeds: list[int], epochs: int, device: str, out: Path) -> None:
    """The seeds that the file does not have yet, one after another."""
    for seed in seeds:
        if (name_of(data, count), METHOD, seed) not in [done.key for done in results.read(out)]:
            results.append(out, train(data, count, seed, epochs, torch.device(device)))
