"""The stock search's data and judging are right, and the table is what a hand counts."""

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from data.tasks.keypoints import faces
from data.transforms.augment import MEAN, STD, Augment
from models.cost import cost
from search.load import load_study
from search.run.training.fit import judge
from search.study import Config, Study, replay
from tests.conftest import Painted
from tests.headline import compare, results, stock, table
from tests.headline.problems import published, task_of

HANDS = str(Path(__file__).parent / "hands.py")


def small(folder: Path, **augment: float) -> tuple[Study, Config]:
    study = load_study(HANDS, data=folder)
    config, _ = replay(study, study.starts["small"])
    training = dataclasses.replace(config.training, batch=4)
    return study, dataclasses.replace(config, training=training, augment=Augment(**augment))


@pytest.mark.usefixtures("cache")
def test_an_epoch_of_the_stock_loop_is_judged_as_fit_judges(painted: Painted) -> None:
    study, config = small(painted.root, rotate=10)
    (reached,) = stock.train(study, config, 1, 0, torch.device("cpu"))
    net = config.arch.build()
    net.load_state_dict(reached.ema.state_dict())
    part = study.task.split(config.arch.size).valid
    outputs, _ = judge(study.task, net, config, part, torch.device("cpu"))
    far = np.linalg.norm(224.0 * (outputs.astype(np.float64) - part.targets), axis=-1)
    assert reached.error == pytest.approx(far.mean(), rel=1e-9)
    assert reached.error == study.task.error(outputs, part)


@pytest.mark.usefixtures("cache")
def test_the_stock_images_are_those_of_the_task(painted: Painted) -> None:
    study, config = small(painted.root)
    images = stock.Photographs(study, config)
    part = study.task.split(config.arch.size).train
    ours = study.task.inputs(torch.from_numpy(np.asarray(part.pixels[part.rows])), config.arch.size).numpy()
    theirs = np.stack([images[i][0].numpy() for i in range(len(images))])
    assert np.abs(ours - theirs).mean() * STD < 4 / 255  # two resamplings instead of one
    for i in range(len(images)):
        np.testing.assert_allclose(images[i][1].numpy(), part.targets[i], atol=1e-6)


@pytest.mark.usefixtures("cache")
def test_stock_points_move_with_their_pixels(painted: Painted) -> None:
    """Every joint is a dot in a colour of its own, painted about half a pixel off: it stays so far off."""

    def off(**augment: float) -> np.ndarray:
        study, config = small(painted.root, **augment)
        config = dataclasses.replace(config, arch=dataclasses.replace(config.arch, size=224))
        images = stock.Photographs(study, config)
        random.seed(1)
        found = []
        for i in range(len(images)):
            image, points = images[i]
            pixels = (image.numpy() * STD + MEAN).transpose(1, 2, 0)
            for (x, y), colour in zip(points.numpy() * 224 - 0.5, painted.colours / 255, strict=True):
                if 4 < x < 219 and 4 < y < 219:
                    near = np.argwhere(np.abs(pixels - colour).sum(-1) < 0.25)[:, ::-1]
                    near = near[np.hypot(*(near - (x, y)).T) < 6]  # another dot may cover a part of it
                    found.append(near.mean(0) - (x, y))
        assert len(found) > 200
        return np.mean(found, 0)

    as_painted = off()
    assert np.abs(as_painted).max() < 0.6
    assert off(flip=1.0) == pytest.approx(as_painted * (-1, 1), abs=0.02)
    assert off(shift=0.1) == pytest.approx(as_painted, abs=0.05)
    assert off(rotate=40, scale=0.1) == pytest.approx(as_painted, abs=0.15)


def test_a_mirror_exchanges_left_and_right_points_of_a_face() -> None:
    images = object.__new__(stock.Photographs)
    images.size, images.how, images.mirrored = 96, Augment(flip=1.0), list(faces().mirrored)
    points = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    image = stock.Image.fromarray(np.zeros((144, 144, 3), np.uint8))
    _, moved = images.changed(image, points)
    for i, partner in enumerate(faces().mirrored):
        assert moved[i] == pytest.approx([1 - points[partner, 0], points[partner, 1]])


def test_a_crop_that_leaves_its_image_repeats_the_border() -> None:
    image = stock.Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)[..., None].repeat(3, 2))
    seen = np.asarray(stock.cropped(image, -1.0, -1.0, 4.0, 4))[..., 0]
    assert seen.tolist() == [[0, 0, 1, 2], [0, 0, 1, 2], [4, 4, 5, 6], [8, 8, 9, 10]]


def test_the_published_design_is_the_recipe_at_224(painted: Painted) -> None:
    config = published(task_of(painted.root))
    assert cost(config.arch).params == 1_950_011  # as the README has it
    assert (config.arch.size, config.arch.width, config.arch.points) == (224, 1.0, 21)
    assert published(faces(painted.root / "none")).arch.points == 68


def run(method: str, seed: int, error: float, params: float, flops: float) -> results.Run:
    log = float(np.log(params * flops) + error)
    numbers = {"trials": 5 + seed, "search_s": 100.0, "search_cpu_s": 60.0, "search_wall_s": 150.0}
    return results.Run(
        "hands", method, seed, log, error, params, flops, **numbers, train_s=30.0, train_cpu_s=20.0, epochs=3,
        images=10, config="{}", machine="this, one", day="2026-11-26",
    )  # fmt: skip


def test_the_table_is_counted_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    for seed, error in enumerate((2.0, 1.0, 3.0)):
        results.append(file, run("published design", seed, error + 4, 2.0, 0.3))
        results.append(file, run("posefront", seed, error, 0.01, 0.001))
    design, ours = table.rows(results.read(file))
    assert design[:6] == ("hands", "published design", "242.1", "242.1, 89.05, 658", "1", "6.00")  # 0.6 e^6, e^5, e^7
    assert ours[:6] == ("hands", "posefront", "7.389e-05", "7.389e-05, 2.718e-05, 0.0002009", "3.28e+06", "2.00")
    assert ours[6:] == ("0.01", "0.001", "100", "30", "6")
    with pytest.raises(ValueError, match="score"):
        results.append(file, dataclasses.replace(run("posefront", 4, 1.0, 1.0, 1.0), log_score=0.0))


def test_a_phase_is_done_once_and_its_seconds_are_kept(tmp_path: Path) -> None:
    code = "import time; t = time.process_time()\nwhile time.process_time() - t < 1.5: pass\nprint('x')"
    first = compare.measured(compare.Phase("p", ["-c", code]), tmp_path)
    assert first.cpu_s > 0.4  # looked at once a second
    assert first.wall_s >= 1.5
    fails = ["-c", "raise SystemExit(1)"]
    assert compare.measured(compare.Phase("p", fails), tmp_path) == first
    with pytest.raises(RuntimeError, match="ended with 1"):
        compare.measured(compare.Phase("q", fails), tmp_path)
    ends = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\ntime.sleep(60)"
    sleeps = ["-c", ends]  # as a search ends at SIGTERM
    assert compare.measured(compare.Phase("r", sleeps, is_enough=lambda: True), tmp_path).wall_s < 30
