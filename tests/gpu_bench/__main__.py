"""Training speeds on a card, in one short run: `python -m tests.gpu_bench --out FOLDER`; works on a CPU, too.

For each network: what each part of recording brings (one process), and 1, 4 and 8 processes side by side against one.
"""

import argparse
import csv
import gc
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from data.drawn.hands import DrawnHands
from data.storage import batches
from data.tasks.freihand import FreiHand
from data.transforms.augment import Augment
from models.net import Arch
from search.run.doctor import probe
from search.study import Config, Training
from tests.bare import Bare

CPU_ONLY = not torch.cuda.is_available()
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    "demo, width 0.3 at 64 px, batch 32": ({"width": 0.3, "stride": 16, "size": 64}, 32),
    "width 0.35 at 64 px, 1 M FLOPs, batch 64": ({"width": 0.35, "stride": 32, "size": 64}, 64),
    "width 0.5 at 96 px, 3.5 M FLOPs, batch 64": ({"width": 0.5, "stride": 32, "size": 96}, 64),
    "width 1.0 at 224 px, batch 64": ({"width": 1.0, "stride": 32, "size": 224}, 64),
}
HOW = Augment(rotate=30, scale=0.2, shift=0.1, flip=0.5, colour=0.3, erase=0.3)
task = FreiHand(drawn=DrawnHands(count=400, difficulty=0.2))


def config(network: str, amp: bool = True) -> Config:
    shape, batch = NETWORKS[network]
    arch = Arch(points=task.points, head="heatmap", **shape)
    return Config(arch, Training(lr=1e-3, batch=batch, ema=0.995, clip=1.0, amp=amp), HOW)


def resident(made: Config, augmented: bool) -> Callable[..., Iterator[Any]]:
    """One batch again and again instead of the pack's."""
    device, part = torch.device("cpu" if CPU_ONLY else "cuda"), task.split(made.arch.size).train
    images, points = next(batches.batches(part.pixels, part.rows, part.targets, made.training.batch, device))
    if not augmented:
        images, points = task.augment(images, points, made.arch.size, HOW, torch.Generator(device).manual_seed(0))
    return lambda _pixels, rows, *_: iter([(images, points)] * (len(rows) // made.training.batch))


def patches(variant: str, made: Config) -> Iterator[Any]:
    """What is changed for a variant."""
    if variant == "step by step":
        yield mock.patch("search.run.training.graph.WARM_UP", 10**9)
    if variant == "gradients recorded, pack on the host":
        yield mock.patch("search.run.training.update.FUSED", ())
        yield mock.patch("data.storage.batches.SHARE", 0)
    if variant == "pack on the host":
        yield mock.patch("data.storage.batches.SHARE", 0)
    if variant.startswith("batch in memory"):
        yield mock.patch("search.run.training.fit.batches", resident(made, "augmented" in variant))


WHOLE = "whole"
VARIANTS = (
    "step by step",
    "gradients recorded, pack on the host",
    "pack on the host",
    WHOLE,
    "whole, no mixed precision",
    "batch in memory, augmented",
    "batch in memory",
)


def measure(network: str, variant: str, seconds: float, wait: Callable[[], Any] = lambda: None) -> probe.Speed:
    gc.collect()  # what was recorded before
    if not CPU_ONLY:
        torch.cuda.empty_cache()
    made = config(network, amp="no mixed precision" not in variant)
    learnt: Any = Bare(task) if variant == "batch in memory" else task
    with ExitStack() as stack:
        for patch in patches(variant, made):
            stack.enter_context(patch)
        try:
            return probe.train(learnt, made, seconds, wait)
        except Exception:  # noqa: BLE001 - one variant that fails leaves the others' numbers
            traceback.print_exc()
            return probe.Speed(failed=traceback.format_exc().splitlines()[-1])


def child(start: float, seconds: float, slot: float, out: Path) -> None:
    """Each network in turn, at times that all processes share: a slot to warm up in, then the seconds that count."""
    found = {}
    for place, network in enumerate(NETWORKS):
        begin = start + place * (slot + seconds + 1) + slot
        wait = lambda begin=begin: time.sleep(max(0.0, begin - time.time()))  # noqa: E731
        found[network] = (measure(network, WHOLE, seconds, wait).images_per_s, time.time() - begin)
    out.write_text(json.dumps(found))


def beside(count: int, seconds: float, slot: float, folder: Path) -> dict[str, tuple[float, float]]:
    """Images a second of `count` processes together, and how late the last of them was [s], by network."""
    files = [folder / f"process-{count}-{place}.json" for place in range(count)]
    start = time.time() + slot + 12
    command = [
        sys.executable,
        "-m",
        "tests.gpu_bench",
        "--out",
        str(folder),
        "--seconds",
        str(seconds),
        "--slot",
        str(slot),
    ]
    running = [subprocess.Popen([*command, "--child", str(start), str(file)]) for file in files]
    for each in running:
        each.wait()
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    for file in files:
        file.unlink(missing_ok=True)
    return {
        name: (sum(each[name][0] for each in found), max(each[name][1] for each in found) - seconds)
        for name in (NETWORKS if len(found) == count else ())
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--slot", type=float, default=10.0)
    parser.add_argument("--counts", type=int, nargs="*", default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--networks", type=int, default=len(NETWORKS))
    parser.add_argument("--variants", type=int, nargs="*", default=range(len(VARIANTS)))
    parser.add_argument("--child", nargs=2)
    asked = parser.parse_args()
    for name in list(NETWORKS)[asked.networks :]:
        del NETWORKS[name]
    task.prepare()
    if asked.child:
        child(float(asked.child[0]), asked.seconds, asked.slot, Path(asked.child[1]))
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    card = "CPU" if CPU_ONLY else torch.cuda.get_device_name()
    print(f"{card}, torch {torch.__version__}", flush=True)
    with (asked.out / "gpu_bench.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            [
                "card",
                "torch",
                "network",
                "what",
                "processes",
                "images_per_s",
                "step_ms",
                "peak_mb",
                "launch_share",
                "note",
            ]
        )

        def tell(network: str, what: str, count: int, speed: probe.Speed, note: str = "") -> None:
            row = (
                f"{speed.images_per_s:.0f}",
                f"{speed.step_ms:.3f}",
                speed.peak_mb,
                speed.launch_share,
                note or speed.failed,
            )
            table.writerow([card, torch.__version__, network, what, count, *row])
            file.flush()
            print(network, what, count, *row, sep=" | ", flush=True)

        for network in NETWORKS:
            for round_ in range(asked.rounds):
                for variant in (VARIANTS[place] for place in asked.variants):
                    tell(network, variant, 1, measure(network, variant, asked.seconds), f"round {round_ + 1}")
        for count in asked.counts:
            for network, (rate, late) in beside(count, asked.seconds, asked.slot, asked.out).items():
                tell(network, "side by side", count, probe.Speed(rate), f"{late:.2f} s late")


if __name__ == "__main__":
    main()
