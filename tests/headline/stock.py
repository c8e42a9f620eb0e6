"""What a careful user writes without posefront: Ray Tune with OptunaSearch (TPE) and ASHA, an ordinary DataLoader.

Networks, space, starting trial, objective, judging and devices are those of the search that it is compared with. Beyond
Ray's defaults actors are reused and may start together, and validation images come packed.
"""

import argparse
import json
import math
import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray
import torch
from PIL import Image, ImageOps
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from timm.optim import create_optimizer_v2
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from data.layouts.freihand import image_paths
from data.storage.crops import frames
from data.storage.pack import cache_folder
from data.tasks.keypoint_data import load
from data.transforms.augment import MEAN, STD
from models.readings import read
from search.after.training import EMA
from search.load import load_study
from search.run.training.fit import judge
from search.run.training.learning_rate import schedule
from search.study import Config, Study, replay
from tests.headline.problems import is_hands

FINE = 1.5  # photographs are reduced to so many times the input's side before they are turned


class Photographs(Dataset[tuple[Tensor, Tensor]]):
    """The training part: each image opened, cut out, changed at random and scaled when it is asked for."""

    def __init__(self, study: Study, config: Config) -> None:
        task: Any = study.task
        self.size, self.how, part = config.arch.size, config.augment, task.split(config.arch.size).train
        self.points = part.targets
        self.mirrored = None if is_hands(task.folder()) else list(task.mirrored)
        if self.mirrored is None:
            files = image_paths(task.folder())
            self.places = [(files[row], None) for row in part.rows]
        else:
            known = load(task, task.folder(), cache_folder()).usable
            squares = frames(known, task.margin)
            self.places = [(known[row].file, squares[row]) for row in part.rows]
        colour = self.how.colour
        jitter = v2.ColorJitter(colour, colour, colour) if colour else v2.Identity()
        erase = v2.RandomErasing(self.how.erase) if self.how.erase else v2.Identity()
        plain = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([MEAN] * 3, [STD] * 3)]
        self.finish = v2.Compose([jitter, *plain, erase])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        file, square = self.places[index]
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        fine = cropped(image, *((0.0, 0.0, image.width) if square is None else square), round(FINE * self.size))
        changed, points = self.changed(fine, self.points[index])
        return self.finish(changed), torch.from_numpy(points.astype(np.float32))

    def changed(self, image: Image.Image, points: Any) -> tuple[Image.Image, Any]:
        """Mirror, turn, scale and shift, in one resampling to the input's side; points are fractions of the side."""
        how = self.how
        if random.random() < how.flip:
            image, points = ImageOps.mirror(image), np.column_stack([1 - points[:, 0], points[:, 1]])
            points = points if self.mirrored is None else points[self.mirrored]
        turn = math.radians(random.uniform(-how.rotate, how.rotate))
        scale = random.uniform(1 - how.scale, 1 + how.scale)
        shift = [random.uniform(-how.shift, how.shift) for _ in range(2)]
        forward = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        moved = (points - 0.5) @ forward.T + 0.5 + shift
        # PIL wants where each pixel of the answer comes from; borders are repeated, so that no corner is black.
        side, pad = image.width, image.width // 2
        wide = Image.fromarray(np.pad(np.asarray(image), ((pad, pad), (pad, pad), (0, 0)), "edge"))
        back = np.linalg.inv(forward)
        origin, step = side * (0.5 - back @ (np.array([0.5, 0.5]) + shift)) + pad, back * side / self.size
        data = (*step[0], origin[0], *step[1], origin[1])
        return wide.transform((self.size, self.size), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR), moved


def cropped(image: Image.Image, x: float, y: float, wide: float, side: int) -> Image.Image:
    """A square of an image at another side; beyond the image its border is repeated."""
    left, top, right, bottom = math.floor(x), math.floor(y), math.ceil(x + wide), math.ceil(y + wide)
    if left < 0 or top < 0 or right > image.width or bottom > image.height:
        columns = np.arange(left, right).clip(0, image.width - 1)
        rows = np.arange(top, bottom).clip(0, image.height - 1)
        image, x, y = Image.fromarray(np.asarray(image)[rows[:, None], columns]), x - left, y - top
    return image.resize((side, side), Image.Resampling.BILINEAR, box=(x, y, x + wide, y + wide))


class Epoch(NamedTuple):
    """An epoch: the error of the judged network, seconds of training and judging, and both networks."""

    error: float
    seconds: float
    net: nn.Module
    ema: nn.Module | None


def train(
    study: Study, config: Config, epochs: int, seed: int, device: torch.device, loaders: int = 0
) -> Iterator[Epoch]:
    """Train a network epoch by epoch."""
    torch.manual_seed(seed), random.seed(seed)
    how, task = config.training, study.task
    net = config.arch.build().to(device).to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(net, opt=how.optimizer, lr=how.lr, weight_decay=how.weight_decay)
    ema = ModelEmaV3(net, decay=how.ema, use_warmup=True) if how.ema else None
    parallel = {"num_workers": loaders, "persistent_workers": loaders > 0, "pin_memory": device.type == "cuda"}
    loader = DataLoader(Photographs(study, config), how.batch, shuffle=True, drop_last=True, **parallel)
    set_rate, step = schedule(optimizer, how, len(loader), epochs), 0
    valid, amp = task.split(config.arch.size).valid, how.amp and device.type == "cuda"
    for _ in range(epochs):
        began = time.perf_counter()
        net.train()
        for images, points in loader:
            set_rate(step)
            images = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=amp):
                loss, _ = task.loss(net, images, points.to(device, non_blocking=True), how)
            optimizer.zero_grad()
            loss.backward()
            if how.clip:
                nn.utils.clip_grad_norm_(net.parameters(), how.clip)
            optimizer.step()
            if ema is not None:
                ema.update(net, step=step)
            step += 1
        averaged = None if ema is None else ema.module
        error = error_of(study, config, averaged or net, valid, device)
        yield Epoch(error, time.perf_counter() - began, net, averaged)


def error_of(study: Study, config: Config, net: nn.Module, valid: Any, device: torch.device) -> float:
    """The error on the validation part."""
    return study.task.error(judge(study.task, net, config, valid, device)[0], valid)


def begun(given: dict[str, Any]) -> tuple[torch.device, Study]:
    """One thread; the device and the study."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if given["gpus"] and torch.cuda.is_available() else "cpu")
    return device, load_study(given["study"], data=given["folder"])


def trainable(params: dict[str, Any], given: dict[str, Any]) -> None:
    """What Ray Tune calls for each trial."""
    device, study = begun(given)
    config, _ = replay(study, params)
    readings = read(study.readings, config.arch)
    trained_s = 0.0
    for reached in train(study, config, given["epochs"], given["seed"], device, given["loaders"]):
        trained_s += reached.seconds
        is_sound = math.isfinite(reached.error)
        value = study.objective.value(readings, reached.error) if is_sound else math.inf
        tune.report({"value": value, "error": reached.error, "trained_s": trained_s})
        if not is_sound:
            return


def space(trial: Any, study: str, folder: str) -> None:
    """The study's space, as OptunaSearch calls it, and pickles it with its arguments."""
    known = load_study(study, data=folder)
    known.space(trial, known.task)


class Limit(tune.Stopper):
    """Ends a search once its trials have trained for so long, all together."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.trained = seconds, {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.trained[trial_id] = result.get("trained_s", 0.0)
        return False

    def stop_all(self) -> bool:
        return sum(self.trained.values()) >= self.seconds


def search(given: dict[str, Any]) -> dict[str, Any]:
    """The search: its best trial's parameters, how many trials were begun, and the seconds they trained."""
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(given["workers"])
    starts = [dict(start) for start in begun(given)[1].starts.values()]
    ray.init(address="local", num_cpus=given["workers"], include_dashboard=False)
    known_space = partial(space, study=given["study"], folder=given["folder"])
    algorithm = OptunaSearch(known_space, "value", "min", points_to_evaluate=starts, seed=given["seed"])
    limit = Limit(given["seconds"] * given["workers"])
    asha = ASHAScheduler(max_t=given["epochs"], grace_period=given["grace"], reduction_factor=given["reduction"])
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, given=given), {"cpu": 1, "gpu": given["gpus"]}),
        tune_config=tune.TuneConfig(
            metric="value",
            mode="min",
            search_alg=algorithm,
            scheduler=asha,
            num_samples=-1,
            max_concurrent_trials=given["workers"],
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="tune", storage_path=given["work"], verbose=0, stop=limit),
    )
    results = tuner.fit()
    best = results.get_best_result()
    trained = [result.metrics["trained_s"] for result in results if "trained_s" in (result.metrics or {})]
    return {"params": best.config, "value": best.metrics["value"], "trials": len(trained), "trained_s": sum(trained)}


def finish(given: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """The best trial trained in full; of its last and its averaged weights the better ones count, as in retrain."""
    device, study = begun(given)
    config, _ = replay(study, params)
    config = replace(config, training=replace(config.training, ema=config.training.ema or EMA))
    trained_s, loaders = 0.0, given["loaders"] * given["workers"]
    for reached in train(study, config, given["final_epochs"], given["seed"], device, loaders):
        trained_s += reached.seconds
    valid = study.task.split(config.arch.size).valid
    errors = [error_of(study, config, net, valid, device) for net in (reached.net, reached.ema) if net is not None]
    return {"error": min(errors), "trained_s": trained_s}


def main(arguments: list[str]) -> None:
    """`stock search|finish WORK`: what WORK/given.json asks for; the answer is WORK/search.json or WORK/finish.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("phase", choices=["search", "finish"])
    parser.add_argument("work", type=Path)
    asked = parser.parse_args(arguments)
    given = json.loads((asked.work / "given.json").read_text())
    is_search, found = asked.phase == "search", asked.work / "search.json"
    answer = search(given) if is_search else finish(given, json.loads(found.read_text())["params"])
    (asked.work / f"{asked.phase}.json").write_text(json.dumps(answer))
