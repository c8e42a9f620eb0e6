"""Results belong to a study, a trial and its configuration: nothing takes over what is another's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from PIL import Image

from data.errors import UserError
from data.tasks.keypoints import Keypoints
from data.tasks.skeletons import Skeleton
from models.cost import cost
from models.net import Arch
from search import ownership, paths
from search.after import model
from search.after.training import FixedTraining, SearchedTrial, choose_trial
from search.cli.search import refuse_failures
from search.config_record import changes, differences, digest, needs_file, rebuild, record
from search.load import load_study, with_weights
from search.ownership import claim, results_of
from search.run.settings import WorkerSettings
from search.run.state.ledger import ROW, Ledger, open_storage
from search.run.training import checkpoint
from search.run.training.fit import fit
from search.run.training.worker import studied, work
from search.study import Config, Study, Training, replay
from tests.search.test_cli import said

TINY = Path(__file__).parent.parent / "tiny_study.py"
STUDIES = (
    "quickstart",
    "freihand",
    "animals",
    "faces",
    "robot_hand",
    "gestures",
    "gestures_regnetx",
    "gestures_regnety",
)

FILE = """
from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from models.net import Arch
from search.study import Config, Study, Training

def space(trial, task):
    arch = Arch(task.points, trial.suggest_float("width", 0.1, 0.3), stride={stride}, size={size}, head="direct")
    return Config(arch, Training(lr=1e-3, batch=16))

study = Study(FreiHand(drawn=DrawnHands(count=40, difficulty=0.0), gap=0), space, trials=4, epochs=3)
"""


def opened(study: Study, folder: Path, file: str | None = None) -> Ledger:
    """A study in its folder's storage."""
    folder.mkdir(parents=True, exist_ok=True)
    url = paths.url_of(folder, None)
    return Ledger(study, folder.name, open_storage(url), study.task.identity(), file=file)


def trained(ledger: Ledger, file: Path, folder: Path) -> list[dict[str, Any]]:
    """The rows of the ledger's next trial, trained to its end as a worker does it."""
    trial = ledger.ask()
    assert trial is not None
    rows = list(work(WorkerSettings(str(file), None, str(folder), 1), trial, torch.device("cpu")))
    for row in rows:
        ledger.report(trial.number, row)
    ledger.finish(trial.number)
    return rows


@pytest.mark.parametrize("claimed", [True, False])
def test_a_new_study_trains_its_own_trials(tmp_path: Path, claimed: bool) -> None:
    folder = tmp_path / "tiny_study"
    first = load_study(str(TINY), trials=1)
    old = trained(opened(first, folder), TINY, folder)
    assert [row["epoch"] for row in old] == [1, 2, 3, 4]
    (folder / "study.db").unlink()

    second = opened(load_study(str(TINY), trials=1, seed=7), folder)
    if claimed:  # else the folder says nothing: the training state itself is known as another's
        put = claim(folder, second.id, paths.url_of(folder, None))
        assert put is not None
        assert (put / "weights" / "000000.pt").is_file()
        assert (put / "answers" / "000000.json").is_file()
        assert not (folder / "pictures").exists()
    new = trained(second, TINY, folder)
    trial = second.optuna_study.trials[0]
    # What the configuration that was sampled comes to, trained here without a ledger or a worker.
    config, _ = replay(first, trial.params)
    alone = fit(first.task, config, epochs=4, seed=trial.user_attrs["seed"], device=torch.device("cpu"))
    errors = [reached.epoch.error for reached in alone]
    assert [row["error"] for row in new] == errors
    assert [row["error"] for row in old] != errors
    assert list(trial.intermediate_values) == [1, 2, 3, 4]


def test_a_folder_is_one_studys(tmp_path: Path) -> None:
    folder, url = tmp_path / "hand", f"sqlite:///{tmp_path}/hand/study.db"
    (folder / "models" / "000000").mkdir(parents=True)
    assert claim(folder, None, url) is None  # a study of before there were ids: its results name no owner
    assert not (folder / ownership.OWNER).exists()
    put = claim(folder, "a", url)  # where that study was deleted, a new one begins without its results
    assert put is not None
    assert (put / "models" / "000000").is_dir()
    assert not (folder / "models").exists()
    (folder / "models" / "000001").mkdir(parents=True)
    (folder / "study.db").touch()
    assert claim(folder, "a", "sqlite:///moved.db") is None
    other = f"sqlite:///{tmp_path}/other.db"
    for another in ("b", None):
        with pytest.raises(
            UserError, match=r"holds the results of the study of this name in .*study\.db, and .*other\.db"
        ):
            claim(folder, another, other)
        assert not results_of(folder, another).exists()
    assert results_of(folder, "a") == folder
    assert (folder / "models" / "000001").is_dir()
    (folder / "study.db").unlink()
    assert claim(folder, "b", other) is not None
    assert json.loads((folder / ownership.OWNER).read_text()) == {"study": "b", "storage": other}
    assert "secret" not in ownership.at("postgresql://ada:secret@host/db")


def test_a_study_begun_before_there_were_ids_goes_on_with_its_states(tmp_path: Path) -> None:
    torch.save({"epoch": 2}, tmp_path / "s.pt")
    old: Any = {"study": None, "trial": 0, "config": "c"}
    assert checkpoint.load(tmp_path / "s.pt", owner=old) == {"epoch": 2}
    assert checkpoint.load(tmp_path / "s.pt", owner=old | {"study": "a"}) is None
    checkpoint.save({"epoch": 3, "owner": old}, tmp_path / "s.pt")
    assert checkpoint.load(tmp_path / "s.pt", owner=old) is not None
    for change in ({"study": "a"}, {"trial": 1}, {"config": "d"}):
        assert checkpoint.load(tmp_path / "s.pt", owner=old | change) is None


@pytest.mark.parametrize("name", STUDIES)
def test_every_studys_configurations_are_kept_as_json_and_rebuilt(name: str) -> None:
    study = load_study(name)
    for params in {**study.starts, **study.published}.values():
        config, _ = replay(study, params)
        kept = json.loads(json.dumps(record(config), allow_nan=False))
        assert rebuild(kept) == config
        assert hash(rebuild(kept).arch) == hash(config.arch)
        assert not needs_file(kept)
        assert kept["arch"]["class"].startswith("models.")
        assert kept["training"]["lr"] == config.training.lr


def test_what_json_would_change_is_refused() -> None:
    config = Config(Arch(21, 0.5, 16, 64, "direct"), Training(lr=1e-3), augment=None)
    assert rebuild(record(config)) == config
    for augment in ([1, 2], {1, 2}, {1: 2}, Path("x"), {"class": "x"}, torch.nn.ReLU()):
        with pytest.raises(TypeError, match=r"augment.* is kept as JSON: write it with numbers"):
            record(replace(config, augment=augment))
    with pytest.raises(TypeError, match="is another one when JSON gives it back"):
        record(replace(config, augment={"x": float("nan")} | {"y": (1.0, float("inf") - float("inf"))}))
    with pytest.raises(UserError, match=r"cannot be built any more \(.*'breadth'"):
        rebuild(record(config) | {"arch": {"class": "models.net.Arch", "breadth": 2}})
    for path in ("models.net.Gone", "models.nowhere.Arch", "os.system", "shutil.rmtree", "pathlib.Path"):
        with pytest.raises(UserError, match="cannot be built any more"):
            rebuild(record(config) | {"augment": {"class": path}})


def test_differences_name_what_changed() -> None:
    before = record(Config(Arch(21, 0.5, 16, 64, "direct"), Training(lr=1e-3)))
    now = record(Config(Arch(21, 0.5, 32, 96, "direct"), Training(lr=1e-3, betas=(0.8, 0.9))))
    text = differences(before, now)
    assert text == "arch.stride 16, now 32; arch.size 64, now 96; training.betas None, now [0.8, 0.9]"
    assert differences(before, json.loads(json.dumps(before))) == ""
    assert digest(before) != digest(now)
    assert digest(json.loads(json.dumps(before))) == digest(before)


def test_trials_keep_their_configuration_when_the_studys_file_changes(tmp_path: Path) -> None:
    file, folder = tmp_path / "changing.py", tmp_path / "out" / "changing"
    file.write_text(FILE.format(stride=16, size=64))
    first = opened(load_study(str(file)), folder)
    trained(first, file, folder)
    interrupted = first.ask()
    assert interrupted is not None
    rows = work(WorkerSettings(str(file), None, str(folder), 1), interrupted, torch.device("cpu"))
    first.report(interrupted.number, next(rows))
    first.release()
    before = cost(rebuild(first.optuna_study.trials[0].user_attrs["config"]).arch)

    file.write_text(FILE.format(stride=32, size=48))
    studied.cache_clear()
    changed = load_study(str(file))
    second = opened(changed, folder)
    trial = second.optuna_study.trials[0]
    assert changes(changed, trial.params, trial.user_attrs["config"]) == "arch.stride 16, now 32; arch.size 64, now 48"
    going_on = second.ask()
    assert going_on is not None
    assert (going_on.number, going_on.config, going_on.owner) == (1, interrupted.config, interrupted.owner)
    rest = list(work(WorkerSettings(str(file), None, str(folder), 1), going_on, torch.device("cpu")))
    assert [row["epoch"] for row in rest] == [1, 2, 3]
    new = second.ask()
    assert new is not None
    assert (rebuild(new.config).arch.size, rebuild(interrupted.config).arch.size) == (48, 64)

    # What comes after the search trains, prices and names the trial's own network.
    source = SearchedTrial(changed, "changing", file, folder, choose_trial(second.optuna_study, 0), study_id=second.id)
    assert cost(source.config.arch) == before != cost(replay(changed, trial.params)[0].arch)
    training = FixedTraining(source, folder / "retrain" / "000000-1", 1)
    asked = training.ledger.ask()
    assert asked is not None
    assert rebuild(asked.config).arch == source.config.arch
    assert rebuild(asked.config).training.ema == 0.999
    out = ("--out", tmp_path / "out")
    for storage in ((), ("--storage", paths.url_of(folder, None))):
        assert f"{before.params:,}" in said("cost", file, "--trial", 0, *out, *storage)
    board = json.loads(said("best", file, "--all", "--json", *out))
    assert board[0]["config"]["arch"]["size"] == 64


def test_a_training_of_another_configuration_is_another_training(tmp_path: Path) -> None:
    study = load_study(str(TINY), trials=1)
    folder = tmp_path / "tiny_study"
    ledger = opened(study, folder)
    trained(ledger, TINY, folder)
    entry = choose_trial(ledger.optuna_study, 0)
    own = SearchedTrial(study, "tiny_study", TINY, folder, entry, study_id=ledger.id)
    place = folder / "retrain" / "000000-1"
    first = FixedTraining(own, place, 1)
    claim(place, first.ledger.id, paths.url_of(place, None))
    trained(first.ledger, TINY, place)
    assert first.train() is None
    assert first.judge(study.task, [0])
    weighted = FixedTraining(replace(own, weights="/some/where.pth"), place, 1)
    assert weighted.ledger.finished == 0
    assert weighted.ledger.id != first.ledger.id
    with pytest.raises(UserError, match="no seed of trial 0 came to an end"):
        weighted.judge(study.task, [0])  # the other one's state


def test_two_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    alice, bob, out = tmp_path / "alice" / "hand.py", tmp_path / "bob" / "hand.py", tmp_path / "out" / "hand"
    for file, size in ((alice, 64), (bob, 48)):
        file.parent.mkdir()
        file.write_text(FILE.format(stride=32, size=size))
    book = opened(load_study(str(alice)), out, paths.written(alice))
    assert book.ask() is not None
    with pytest.raises(UserError, match=r"was searched from .*alice/hand.py, and .*bob/hand.py is another file"):
        opened(load_study(str(bob)), out, paths.written(bob))
    with pytest.raises(UserError, match="rename one of them"):
        paths.recorded(str(bob), out.parent, None)
    assert paths.recorded(str(alice), out.parent, None).user_attrs["file"] == str(alice)
    bob.write_bytes(alice.read_bytes())  # a copy is the same study
    opened(load_study(str(bob)), out, paths.written(bob))
    bob.write_text(FILE.format(stride=16, size=48))
    bob.rename(tmp_path / "hand.py")  # one that was moved, and changed since, as well
    moved = opened(load_study(str(tmp_path / "hand.py")), out, paths.written(tmp_path / "hand.py"))
    assert moved.optuna_study.user_attrs["file"] == str(tmp_path / "hand.py")
    assert paths.written(paths.STUDIES / "quickstart.py") == "quickstart"


def test_a_search_in_which_every_trial_failed_ends_with_another_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = opened(load_study(str(TINY), trials=4), tmp_path / "tiny_study")
    refuse_failures(book)
    for reason in ("diverged: the loss became nan\nin epoch 1", "out of memory", "diverged: the loss became nan"):
        trial = book.ask()
        assert trial is not None
        book.fail(trial.number, reason)
    with pytest.raises(typer.Exit) as ended:
        refuse_failures(book)
    assert ended.value.exit_code == 1
    text = capsys.readouterr().out
    assert "every trial of this search failed (3), 2 of them with: diverged: the loss became nan\n" in text
    trial = book.ask()
    assert trial is not None
    book.report(trial.number, dict.fromkeys(ROW, 1.0))
    book.stop(trial.number)
    refuse_failures(book)


def test_weights_are_put_on_a_study_in_one_way(tmp_path: Path) -> None:
    study = load_study(str(TINY))
    assert with_weights(study, None) is study
    begun = with_weights(study, "~/w.pth")
    config, _ = replay(begun, {"width": 0.2, "size": 32, "lr": 1e-3})
    assert config.training.weights == str(Path("~/w.pth").expanduser())
    study = replace(study, starts={"first": {"width": 0.2, "size": 32, "lr": 1e-3}})
    with pytest.raises(UserError, match=r"gone\.pth"):
        with_weights(study, str(tmp_path / "gone.pth"))


def test_a_model_answers_by_its_own_record_whatever_the_study_is_now(tmp_path: Path) -> None:
    names = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    task = Keypoints(skeleton=Skeleton(names, ((0, 1), (0, 2)), (0.1,) * 5), context=1.25)
    config = Config(Arch(5, 0.1, 32, 48, "direct", neck=0), Training(lr=1e-3))
    torch.manual_seed(0)
    net, folder = config.arch.build().eval(), tmp_path / "model"
    facts = {
        "study": "animals",
        "trial": 0,
        "params": {},
        "metric": "nme",
        "unit": "%",
        "error": 1.0,
        "params_count": 1,
        "flops": 1,
        "score": None,
        "epochs": 1,
        "seeds": [],
        "teacher": None,
        "data": {},
        "versions": {},
        "made": "",
    }
    model.save(folder, facts | model.described(task, config), net.state_dict(), [])
    pixels = torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    picture = tmp_path / "photo.png"
    Image.fromarray(pixels[0].numpy()).save(picture)
    said("predict", folder, picture, "--json", tmp_path / "a.json")
    answered = json.loads((tmp_path / "a.json").read_text())
    assert (answered["labels"], answered["edges"]) == (list(names), [[0, 1], [0, 2]])
    # What the task itself shows the network of the photograph, with the border that its context adds.
    loaded = model.load(folder)
    assert "study" not in vars(loaded)
    inputs = task.inputs(pixels, 48)
    assert torch.equal(loaded.preprocess(pixels, 48), inputs)
    assert len(answered["predictions"][0]["points"]) == 5
    record = json.loads((folder / model.FACTS).read_text())
    (folder / model.FACTS).write_text(json.dumps(record | {"study": "no study of that name"}))
    said("predict", folder, picture, "--json", tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text()) == answered
    (folder / model.FACTS).write_text(
        json.dumps(record | {"preprocessing": {"context": 1.0, "mean": 0.5, "std": 0.25}})
    )
    with pytest.raises(UserError, match="another normalisation"):
        model.load(folder)
