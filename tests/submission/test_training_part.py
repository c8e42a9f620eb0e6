"""The notebook's training against the project's own, bit by bit; and what it says where it cannot train."""

import copy
import json
import math
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nbformat import NotebookNode
from torch import nn

from data.errors import UserError
from data.task import BaseTask
from data.transforms.augment import Augment, RobotAugment
from models.bodies import Body
from models.fold import fuse_, merge_
from models.net import Arch
from search import origin
from search.after import model as models
from search.after.training import EMA, drawn_set, judge_state, ranges
from search.load import load_study
from search.run.training.fit import fit
from search.study import Config, Training
from search.submission.notebook import network_source, training_source
from search.submission.notebook.build import TRAINING, build, execute, measured
from search.submission.notebook.python_source import embed
from tests.submission.test_submission import facts

STUDY = """
from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from models.net import Arch
from search.study import Config, Study, Training

task = FreiHand(drawn=DrawnHands(count=80, difficulty=0.0), gap=1)
study = Study(task, lambda trial, task: Config(Arch(21, 0.1, 32, 32, "direct"), Training(lr=1e-3)), trials=1, epochs=1)
"""
CPU = torch.device("cpu")
EPOCHS = 2
CASES = {
    "heatmap, adamw, cosine": Config(
        Arch(21, 0.2, 16, 64, "heatmap", neck=96),
        Training(lr=4e-3, batch=32, ema=0.995, weight_decay=0.05, divergence=0.1, warmup=1),
        Augment(rotate=30, scale=0.1, shift=0.05, colour=0.2, flip=0.5, erase=0.5),
    ),
    "branches, grey, sgd, step": Config(
        Arch(21, 0.2, 32, 48, "direct", neck=32, branches=2, grey=True, act="silu", stages=4, pooled=False),
        Training(lr=3e-3, batch=16, optimizer="sgd", schedule="step", milestones=(0.5,), clip=0.1, loss="smooth_l1"),
        Augment(),
    ),
    "simcc, patches, nadam, onecycle": Config(
        Arch(21, 0.2, 32, 64, "simcc", neck=96, split=0.5, squeeze=0.0, stem_kernel=4, stem_stride=4),
        Training(lr=3e-3, batch=500, optimizer="nadam", betas=(0.8, 0.95), schedule="onecycle", loss="mse"),
        Augment(rotate=180),
    ),
}


def model_of(folder: Path, config: Config) -> models.Model:
    """A model of two epochs on drawn hands, as `posefront retrain` keeps it; its study lies in `folder`."""
    file = folder / "few_hands.py"
    file.write_text(STUDY)
    task = load_study(str(file)).task
    trained = replace(config, training=replace(config.training, ema=config.training.ema or EMA))
    *_, last = fit(task, trained, epochs=EPOCHS, seed=2**40 + 7, device=CPU)
    judged = judge_state(task, config, 2**40 + 7, last.take(), CPU)
    split = task.split(config.arch.size)
    told = facts(file, {}, config, judged.seed, split.valid) | {"epochs": EPOCHS, **models.described(task, config)}
    told["data"] |= {"train_ranges": ranges(split.train.rows), "drawn": drawn_set(task)}
    told["versions"] |= {"threads": "1"}
    models.save(folder / "model", told, judged.weights, [[last.epoch.row()]])
    return models.load(folder / "model", study=str(file))


def packed(model: models.Model, folder: Path) -> Path:
    """A folder with a model's record, and another network's weights."""
    folder.mkdir()
    (folder / "model.json").write_bytes((model.folder / "model.json").read_bytes())
    torch.save(network_source.weights(model.config.arch.build()), folder / "model.pth")
    return folder


def run_cells(notebook: NotebookNode) -> dict[str, Any]:
    """What the cells leave behind, run in this process."""
    names: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, names)  # noqa: S102 - it is our own
    return names


def from_template(first: str, end: str) -> str:
    """The training part's text from `first` up to `end`."""
    text = TRAINING.read_text()
    return text[text.index(first) :].split(end)[0]


@pytest.mark.parametrize("case", CASES)
def test_training_gives_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    model = model_of(tmp_path, CASES[case])
    monkeypatch.chdir(packed(model, tmp_path / "packed"))
    monkeypatch.setenv("NOTEBOOK_DATA", str(model.study.task.folder()))
    monkeypatch.setenv("NOTEBOOK_TRAIN", "1")
    names = run_cells(build(model, "Ada"))
    wanted, found = network_source.weights(model.net), names["net"].state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], tensor) for name, tensor in found.items())
    assert names["pixel_diff"] == pytest.approx(model.facts.error, rel=1e-6)
    assert names["ends"] == pytest.approx(dict(model.facts.seeds[0].errors), rel=1e-6)
    assert torch.load("trained.pth", weights_only=True).keys() == wanted.keys()


def test_a_process_of_its_own_trains_where_the_switch_says_so(tmp_path: Path) -> None:
    model = model_of(tmp_path, CASES["branches, grey, sgd, step"])
    folder, data = packed(model, tmp_path / "packed"), model.study.task.folder()
    built = build(model, "Ada")
    run = execute(built, folder, data, timeout_s=100, train=True)
    assert measured(run)["pixel_diff"] == pytest.approx(model.facts.error, rel=1e-5)
    assert not any(str(place) in json.dumps(run) for place in (data, tmp_path))
    assert "TRAIN = os.environ.get" in next(cell.source for cell in built.cells if cell.cell_type == "code")
    settings = json.loads((folder / "model.json").read_text())["data"]["drawn"]
    assert settings == {"layout": "freihand", "count": 80, "seed": 0, "difficulty": 0.0}
    assert any("data synth FreiHAND --count 80 --seed 0 --difficulty 0`" in cell.source for cell in built.cells)


def test_without_images_the_cells_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_of(tmp_path, CASES["branches, grey, sgd, step"])
    monkeypatch.chdir(packed(model, tmp_path / "packed"))
    monkeypatch.delenv("NOTEBOOK_DATA", raising=False)
    monkeypatch.setenv("NOTEBOOK_TEST", str(tmp_path / "nothing"))
    for train in ("", "1"):
        monkeypatch.setenv("NOTEBOOK_TRAIN", train)
        names = run_cells(build(model, "Ada"))
        assert (names["params"], "pixel_diff" in names) == (model.price.params, False)
        said = capsys.readouterr().out.splitlines()
        left = "Left out, for there is no FreiHAND/training_K.json: see 'What to put where'."
        assert said.count(left) == (5 if not train else 6)
        assert (said.count("TRAIN is False: nothing is trained, and what follows measures model.pth.") == 1) != bool(
            train
        )
        assert said[-1].startswith("submission.csv is left as it is")


def test_every_network_is_drawn_and_folded_as_the_project_does_it() -> None:
    pick = random.Random(0)
    for place in range(24):
        head = ("direct", "heatmap", "simcc")[place % 3]
        stem = pick.choice(
            [{}, {"stem": 8}, {"stem_kernel": 4, "stem_stride": 4}, {"stem_kernel": 5, "stem_stride": 4}]
        )
        arch = Arch(
            points=5,
            width=pick.choice([0.1, 0.2, 0.35]),
            stride=pick.choice([8, 16, 32]),
            size=pick.choice([32, 48, 64]),
            head=head,
            neck=pick.choice([0, 96]),
            stages=pick.randint(3, 7),
            expansion=pick.uniform(0.1, 1),
            depth=pick.choice([0.5, 1.0]),
            squeeze=pick.choice([0.0, 0.25]),
            kernel=pick.choice([3, 5, 7]),
            early_kernel=pick.choice([3, 5]),
            act=pick.choice(["mixed", "relu", "hardswish", "silu"]),
            branches=pick.choice([0, 1, 2]),
            grey=pick.choice([False, True]),
            pooled=pick.choice([True, False]),
            upsample=pick.randint(0, 2),
            deconv=32,
            separable=pick.choice([True, False]),
            split=pick.choice([0.125, 0.5, 1.0]),
            **stem,
        )
        check_network(arch)


def check_network(arch: Arch) -> None:
    given = {"torch": torch, "nn": nn, "F": nn.functional, "Tensor": torch.Tensor, "math": math}
    names: dict[str, Any] = {"copy": copy} | given
    torch.manual_seed(3)
    ours = arch.build()
    exec(training_source.network(arch, given), names)  # noqa: S102 - it is our own
    torch.manual_seed(3)
    theirs = names["TrainingNet"]()
    pairs = list(zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True))
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs), arch
    for net in (ours, theirs):
        torch.manual_seed(4)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    flat = "merge_(copy.deepcopy(learner).eval())" if arch.branches else "copy.deepcopy(learner).eval()"
    source = embed(fuse_, *([merge_] if arch.branches else []), given=given)
    exec(f"{source}\n\n{from_template('def folded', '```')}".replace("<<FLAT>>", flat), names)  # noqa: S102
    wanted = network_source.weights(ours)
    names["net"] = SimpleNamespace(state_dict=lambda: wanted)
    found = names["folded"](theirs)
    assert all(torch.equal(wanted[name], tensor) for name, tensor in found.items()), arch


class OwnTask(BaseTask):
    """A task of a study's own file."""


class OwnTraining(Training):
    """Settings of a study's own file."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> models.Model:
    return model_of(tmp_path_factory.mktemp("small"), CASES["branches, grey, sgd, step"])


def with_config(model: models.Model, **parts: Any) -> models.Model:
    return replace(model, config=replace(model.config, **parts))


def with_facts(model: models.Model, **parts: Any) -> models.Model:
    return replace(model, facts=replace(model.facts, **parts))


def with_task(model: models.Model) -> models.Model:
    return replace(model, source=replace(model.study, task=OwnTask()))  # type: ignore[arg-type]


REFUSED: dict[str, Callable[[models.Model], models.Model]] = {
    r"its architecture is a models\.bodies\.Body": lambda m: with_config(m, arch=Body("resnet18", 42, "linear", 64)),
    "those of OwnTask, a class of the study's own file": with_task,
    "has a OwnTraining of the study's own file": lambda m: with_config(m, training=OwnTraining(lr=1e-3)),
    "has a RobotAugment": lambda m: with_config(m, augment=RobotAugment()),
    "does not say which images it was trained on; retrain it": lambda m: with_facts(m, data={"valid_rows": [1]}),
    "its optimiser, lion, is timm's own Lion": lambda m: with_config(m, training=Training(lr=1e-3, optimizer="lion")),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_trained_is_said(small: models.Model, reason: str) -> None:
    assert training_source.refusal(small) == ""
    changed = REFUSED[reason](small)
    assert re.search(reason, training_source.refusal(changed))
    if changed.config.arch == small.config.arch:
        built = build(changed, "Ada")
        assert any("This notebook cannot train it: " in cell.source for cell in built.cells)
        assert not any("<<" in cell.source or "def train" in cell.source for cell in built.cells)


@pytest.mark.parametrize(
    "data",
    [{"train_ranges": 7}, {"train_ranges": [["a", "b"]]}, {"drawn": [1]}, {"drawn": {"count": "`<b>", "seed": 0}}],
)
def test_a_record_of_a_stranger_is_refused(small: models.Model, data: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"model\.json describes no training of ours \("):
        build(with_facts(small, data={**small.facts.data, **data}), "Ada")


def test_no_text_of_a_record_becomes_code(small: models.Model) -> None:
    for name, value in (("threads", "1); print(1"), ("threads", "")):
        with pytest.raises(UserError, match="describes no training of ours"):
            build(with_facts(small, versions={**small.facts.versions, name: value}), "Ada")
    odd = {"address": "https://a.b/><script>", "commit": "<script>`", "processor": "<script>", "torch": "<script>"}
    text = "\n".join(cell.source for cell in build(with_facts(small, versions={**odd, "threads": "2"}), "Ada").cells)
    assert "<script>" not in text
    assert "EPOCHS, SEED, THREADS = 2, 1099511627783, 2\n" in text
    known = with_facts(small, versions={"address": "https://example.org/posefront", "posefront": "1.2", "threads": "1"})
    assert "posefront 1.2, commit unknown, <https://example.org/posefront>." in build(known, "Ada").cells[0].source


def test_what_is_not_repeated_is_said(small: models.Model) -> None:
    taught = with_facts(small, teacher="freihand trial 3, 9.1 px")
    begun = with_config(small, training=replace(small.config.training, weights="/home/ada/big.pth"))
    for model, said in (
        (taught, "It learnt from a teacher too (freihand trial 3, 9.1 px)"),
        (begun, "It began with pre-trained weights (big.pth)"),
    ):
        text = "\n".join(cell.source for cell in build(model, "Ada").cells)
        assert f"{said}, which is not in the zip: what follows does without, and ends at another error." in text
        assert "/home/ada" not in text
    assert "not in the zip: what follows" not in "\n".join(cell.source for cell in build(small, "Ada").cells)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw", "nadam", "radam", "adamax", "rmsprop", "adagrad"])
def test_optimisers_are_torchs_with_timms_settings(name: str) -> None:
    training = Training(lr=0.01, optimizer=name, weight_decay=0.03)
    nets = [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    ours = training_source.optimizer_of(nets[0], training)
    if not type(ours).__module__.startswith("torch.optim"):
        pytest.skip(f"timm's {name} is its own")
    names: dict[str, Any] = {"torch": torch, "HOW": training, "learner": nets[1]}
    exec(from_template("def groups", "@torch.no_grad()"), names)  # noqa: S102 - it is our own
    theirs = eval(training_source._written(ours), names)  # noqa: S307
    images = torch.randn(5, 8, 3)
    for net, optimizer in zip(nets, (ours, theirs), strict=True):
        for batch in images:
            optimizer.zero_grad()
            net(batch).square().mean().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(*(net.state_dict().values() for net in nets), strict=True))


def test_the_commit_of_a_checkout_alone_is_known(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True, text=True).stdout

    assert origin.commit(tmp_path) == "unknown"
    git("init", "-q")
    assert origin.commit(tmp_path) == "unknown"  # there is no commit yet
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "first")
    head = git("rev-parse", "HEAD")[:12]
    assert origin.commit(tmp_path) == head
    (tmp_path / "b").write_text("not of it")
    assert origin.commit(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert origin.commit(tmp_path) == f"{head}, with changes"
    (tmp_path / "inner").mkdir()
    assert origin.commit(tmp_path / "inner") == "unknown"


def test_ranges_are_the_rows() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows = np.flatnonzero(rng.random(40) < rng.random())
        assert [row for first, end in ranges(rows) for row in range(first, end)] == rows.tolist()
        assert len(ranges(rows)) == sum(row - 1 not in rows for row in rows)
