"""The last training: seeds side by side, a kill, and a model that is what it says."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from data.errors import UserError
from data.transforms.augment import Augment
from search.after import model, retrain
from search.after.training import SearchedTrial, choose_trial
from search.config_record import rebuild
from search.load import load_study
from search.results import answers
from search.run.state.ledger import ROW, Ledger, open_storage
from search.run.training.fit import Teacher, fit, judge
from search.study import Config
from tests.search.test_cli import mistake, said
from tests.without_ray import Killed, engine

TINY = Path(__file__).parent.parent / "tiny_study.py"
POSEFRONT = Path(sys.executable).with_name("posefront")


def searched(out: Path) -> Ledger:
    """A search of three trials, as its storage keeps it; the second one has the best score."""
    folder = out / "tiny_study"
    folder.mkdir(parents=True)
    study = load_study(str(TINY), trials=3)
    book = Ledger(study, "tiny_study", open_storage(f"sqlite:///{folder}/study.db"), study.task.identity())
    for error, end in ((30.0, "finish"), (4.0, "finish"), (2.0, "stop")):
        asked = book.ask()
        assert asked is not None
        for epoch in (1, 2, 3, 4):
            book.report(asked.number, dict.fromkeys(ROW, 1.0) | {"epoch": epoch, "error": error})
        getattr(book, end)(asked.number)
    return book


def test_seeds_killed_and_continued_make_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched(tmp_path)
    command = ("retrain", TINY, "--out", tmp_path, "--seeds", 2, "--epochs", 6, "--workers", 2)
    room = tmp_path / "tiny_study" / "retrain" / "000001-6"
    monkeypatch.setattr("search.run.engine.search", engine(5))
    with pytest.raises(Killed):
        said(*command)
    assert not (tmp_path / "tiny_study" / "models").exists()
    reached = {file.name: torch.load(file, weights_only=True)["epoch"] for file in (room / "weights").glob("*.pt")}
    assert reached == {"000000.pt": 3, "000001.pt": 2}
    monkeypatch.setattr("search.run.engine.search", engine())
    printed = said(*command)
    assert "Model:" in printed

    folder = tmp_path / "tiny_study" / "models" / "000001-6"
    found = model.load(folder, str(TINY))
    facts = found.facts
    assert facts.trial == 1
    assert len(facts.seeds) == len({seed.seed for seed in facts.seeds}) == 2
    assert [len(curve) for curve in found.curves] == [6, 6]
    assert [row["epoch"] for row in found.curves[0]] == [1, 2, 3, 4, 5, 6]
    assert (facts.labels, facts.edges) == (found.study.task.labels, found.study.task.edges)
    assert facts.size == found.config.arch.size
    assert facts.config is not None
    assert facts.config["arch"].items() <= {"class": "models.net.Arch", **asdict(found.config.arch)}.items()
    assert rebuild(facts.config) == found.config
    assert facts.error == min(min(seed.errors.values()) for seed in facts.seeds)
    assert facts.params_count == sum(tensor.numel() for tensor in folded(found).values())

    # The claimed error, computed here from the weights that .pth holds, without the project's judge.
    weights = torch.load(folder / model.PTH, weights_only=True)
    same = safetensors.torch.load_file(folder / model.WEIGHTS)
    assert all(torch.equal(weights[name], same[name]) for name in same)
    net = found.config.arch.build()
    net.load_state_dict(weights)
    part = found.study.task.split(found.config.arch.size).valid
    assert facts.data["valid_rows"] == part.rows.tolist()
    pixels = torch.from_numpy(np.ascontiguousarray(part.pixels[part.rows]))
    with torch.inference_mode():
        said_points = net.eval()(found.study.task.inputs(pixels, found.config.arch.size)).double().numpy()
    distance = np.linalg.norm(224 * (said_points - part.targets), axis=-1).mean()
    assert distance == pytest.approx(facts.error, rel=1e-5)
    kept = answers.load(folder, 1)
    assert kept is not None
    assert np.mean(kept.errors) == pytest.approx(facts.error, rel=1e-4)

    # Again: nothing is trained anew, and more seeds add to those that are there.
    monkeypatch.setattr("search.run.engine.search", engine(0))
    said(*command)
    assert model.read(folder / model.FACTS).error == facts.error


def folded(found: model.Model) -> dict[str, torch.Tensor]:
    from models.fold import fold

    return dict(fold(found.net).named_parameters())


def test_the_trial_that_is_meant(tmp_path: Path) -> None:
    book = searched(tmp_path).optuna_study
    assert choose_trial(book, None, None).number == 1
    assert choose_trial(book, 2, None).number == 2
    assert choose_trial(book, None, 35.0).number == 1
    out = ("--out", tmp_path)
    assert "the smallest error is 4.000 px" in mistake("retrain", TINY, "--best-under", "3px", *out)
    assert "is no number" in mistake("retrain", TINY, "--best-under", "five", *out)
    assert "trials 0 to 2" in mistake("retrain", TINY, "--trial", 9, *out)
    assert "give one of them" in mistake("retrain", TINY, "--trial", 1, "--best", *out)
    assert "is no trained model" in mistake("retrain", TINY, "--teacher", tmp_path / "none", *out)


def made(tmp_path: Path, name: str = "model", **changes: object) -> Path:
    """A model of random weights."""
    study = load_study(str(TINY))
    config, params = some(study)
    torch.manual_seed(1)
    net = config.arch.build()
    part = study.task.split(config.arch.size)
    outputs, _ = judge(study.task, net, config, part.valid, torch.device("cpu"))
    facts = {
        "study": "tiny_study",
        "trial": 0,
        "params": params,
        "metric": "pixel_diff",
        "unit": "px",
        "error": study.task.error(outputs, part.valid),
        "params_count": 1,
        "flops": 1,
        "score": 1.0,
        "epochs": 1,
        "seeds": [model.Seed(1, 1.0, "last", {"last": 1.0})],
        "teacher": None,
        "data": {"valid_rows": part.valid.rows.tolist()},
        "versions": model.versions(torch.device("cpu")),
        "made": "2026-01-01",
    }
    model.save(tmp_path / name, facts | changes, net.state_dict(), [[]])
    return tmp_path / name


def some(study: object) -> tuple[Config, dict[str, object]]:
    from search.study import replay

    params = {"width": 0.2, "size": 32, "lr": 1e-3}
    return replay(study, params)[0], params


def test_each_length_and_teacher_has_a_model_of_its_own(tmp_path: Path) -> None:
    book, study = searched(tmp_path).optuna_study, load_study(str(TINY))
    source = SearchedTrial(study, "tiny_study", TINY, tmp_path / "tiny_study", choose_trial(book, 1))
    teacher = made(tmp_path)
    trainings = [
        retrain.full_training(source, 6, 2),
        retrain.full_training(source, 1, 2),
        retrain.full_training(source, 6, 2, teacher),
    ]
    names = [retrain.model_folder(training).name for training in trainings]
    assert names[:2] == ["000001-6", "000001-1"]
    assert names[2].startswith("000001-6-")
    assert retrain.model_folder(trainings[0]).parent == tmp_path / "tiny_study" / "models"


def test_the_best_model_is_submitted_or_the_one_that_is_named(tmp_path: Path) -> None:
    study, models = load_study(str(TINY)), tmp_path / "models"
    of_before = made(models, "000001", trial=1, error=14.6)
    short = made(models, "000001-1", trial=1, error=37.4)
    taught = made(models, "000001-72-0123abcd", trial=1, error=14.1, study_id="other")
    longer = made(models, "000004-72", trial=4, error=14.5)
    (models / ".000004-72.1.half").mkdir()

    def chosen(**how: Any) -> tuple[Path, int]:
        found, among = retrain.load_model(tmp_path, study, how.pop("study_id", None), **how)
        return found.folder, among

    assert chosen() == (longer, 3)
    assert chosen(number=1) == (of_before, 2)
    assert chosen(place=short) == (short, 1)
    assert chosen(study_id="other") == (taught, 1)
    assert chosen(under=14.55) == (longer, 3)
    assert chosen(under=1.0) == (longer, 3)
    wide = made(models, "000005-72", trial=5, error=14.55, params={"width": 0.3, "size": 32, "lr": 1e-3})
    assert (
        retrain.best({of_before: model.read(of_before / model.FACTS), wide: model.read(wide / model.FACTS)}, study)
        == of_before
    )
    for how, why in (
        ({"number": 2}, r"holds no trained model of trial 2; make one with `posefront retrain \S+ --trial 2`\.$"),
        ({"place": taught}, r"is a model of tiny_study trial 1, 14\.1 px, which is another study than the one in"),
        ({"place": models / "000004"}, r"is no trained model; there are \S+/models/000004-72\.$"),
        ({"study_id": "none"}, "5 there belong to another study of this name"),
    ):
        with pytest.raises(UserError, match=why):
            chosen(**how)
    assert "give one of them" in mistake(
        "submit", TINY, "--name", "A", "--test", models, "--trial", 1, "--model", short
    )


def test_a_model_is_read_by_others_as_its_folder_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = made(tmp_path)
    finally:
        os.umask(before)
    assert {oct(file.stat().st_mode & 0o777) for file in folder.iterdir()} == {"0o644"}


def test_a_model_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path)
    assert model.load(folder, str(TINY)).facts.trial == 0
    facts = json.loads((folder / model.FACTS).read_text())
    for change, expected in (
        ({"format": 99}, "is of format 99"),
        ({"params": {"width": 0.2, "size": 48}}, "does not fit the study"),
        ({"params": {"width": 0.3, "size": 32, "lr": 1e-3}}, "does not fit the study"),
        ({"extra": 1}, "a field too many"),
        ({"error": "4"}, "has a field of another type (error: "),
        ({"error": float("nan")}, "has a field of another type (error: "),
        ({"labels": "wrist"}, "has a field of another type (labels: "),
    ):
        (folder / model.FACTS).write_text(json.dumps(facts | change))
        assert expected in mistake("predict", folder, TINY.parent / "conftest.py", "--study", TINY)
    (folder / model.FACTS).write_text(json.dumps(facts))
    weights = bytearray((folder / model.WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / model.WEIGHTS).write_bytes(weights)
    assert "was changed" in mistake("predict", folder, TINY.parent / "conftest.py", "--study", TINY)


def test_what_the_network_answers_is_the_models_own_word_not_the_studys(tmp_path: Path) -> None:
    folder = made(tmp_path)
    facts = json.loads((folder / model.FACTS).read_text())
    old = model.load(folder, str(TINY))  # of before labels and edges were recorded: they are the study's
    assert old.facts.labels is None
    assert (old.labels, old.edges) == (old.study.task.labels, old.study.task.edges)
    assert old.facts.record() == facts
    names = [f"point {place}" for place in range(21)]
    (folder / model.FACTS).write_text(json.dumps(facts | {"labels": names, "edges": [[3, 4]]}))
    found = model.load(folder, str(TINY))
    assert (found.labels, found.edges) == (tuple(names), ((3, 4),))
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    out = tmp_path / "a.json"
    said("predict", folder, tmp_path / "a.png", "--study", TINY, "--json", out)
    read = json.loads(out.read_text())
    assert (read["labels"], read["edges"]) == (names, [[3, 4]])
    assert len(read["predictions"][0]["points"]) == 21


def test_model_json_is_read_and_a_wrong_folder_refused_without_torch(tmp_path: Path) -> None:
    folder = made(tmp_path)
    code = (
        "import sys; from pathlib import Path; from search.after import model; import search.cli.submit, "
        f"search.cli.ablate, search.cli.ensemble; model.read(Path({str(folder / model.FACTS)!r})); "
        "from search.results import ablation, answers, example_sheet, skeleton; "
        "assert not {'torch', 'ray', 'sklearn', 'scipy', 'pandas', 'timm'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_teacher_is_learnt_from_and_sees_what_the_network_sees(tmp_path: Path) -> None:
    study = load_study(str(TINY))
    config, _ = some(study)
    config = replace(config, augment=Augment(rotate=20, scale=0.2, flip=0.5, shift=0.1, colour=0.3))
    device = torch.device("cpu")
    found = model.load(made(tmp_path), str(TINY))

    class Watching(torch.nn.Module):
        """Answers the true points' mirror image, and remembers what it was shown."""

        def __init__(self) -> None:
            super().__init__()
            self.shapes: set[torch.Size] = set()

        def logits(self, images: torch.Tensor) -> torch.Tensor:
            self.shapes.add(images.shape[1:])
            return found.net.logits(images[:, :, ::2, ::2])

        def decode(self, logits: torch.Tensor) -> torch.Tensor:
            return found.net.decode(logits)

    watching = Watching()
    runs = {}
    for name, teacher in (
        ("alone", None),
        ("nothing", Teacher(watching, 64, 0.0)),
        ("taught", Teacher(watching, 64, 1.0)),
    ):
        runs[name] = [
            reached.epoch.train_loss
            for reached in fit(study.task, config, epochs=3, seed=5, device=device, teacher=teacher)
        ]
    assert watching.shapes == {torch.Size([3, 64, 64])}
    # A weight of 0 is no teacher (but for the level of the images, which a larger teacher raises).
    assert runs["nothing"] == pytest.approx(runs["alone"], rel=0.02)
    assert runs["taught"] != pytest.approx(runs["alone"], rel=0.02)

    # The same generator turns images of two sizes alike: their points are the same.
    part = study.task.split(64).train
    pixels, points = torch.from_numpy(part.pixels[part.rows[:8]]), torch.from_numpy(part.targets[:8])
    small = study.task.augment(pixels, points, 32, config.augment, torch.Generator().manual_seed(3))
    large = study.task.augment(pixels, points, 64, config.augment, torch.Generator().manual_seed(3))
    assert torch.equal(small[1], large[1])
    assert torch.allclose(torch.nn.functional.avg_pool2d(large[0], 2), small[0], atol=0.6)
