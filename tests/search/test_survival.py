"""Three deaths of tuning elsewhere, and that ours outlives them: no memory, a last batch of one, unsaved state.

Whole searches that meet them with Ray are in test_search.py; here each is met by itself, in a worker's own loop.
"""

import multiprocessing
import os
import resource
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor

from data.storage.pack import Part, Split
from data.tasks.robot_hand import RobotHand
from models.bodies import Body
from search.load import load_study
from search.run.settings import TrialAssignment, WorkerSettings
from search.run.state.ledger import Ledger
from search.run.training import checkpoint as weights
from search.run.training import fit as fitting
from search.run.training.fit import fit
from search.run.training.worker import work
from search.study import Config, Training

CPU = torch.device("cpu")

# Random pixels, 65 of them in training: a task that needs no files, and a space whose every number is a start's.
FILE = """
from dataclasses import dataclass
import numpy as np
from data.tasks.freihand import FreiHand
from data.storage.pack import Part, Split
from models.net import Arch
from search.objective import ErrorAlone
from search.study import Config, Study, Training

@dataclass(frozen=True)
class Noise(FreiHand):
    def prepare(self, progress=None): pass
    def identity(self): return "noise"
    def picture(self, row): return np.zeros((8, 8, 3), np.uint8)
    def split(self, size):
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (80, 56, 56, 3), np.uint8)
        points = rng.random((80, 21, 2)).astype(np.float32)
        rows = np.arange(80)
        return Split(Part(pixels, rows[:65], points[:65]), Part(pixels, rows[65:], points[65:]))

task = Noise()

def space(trial, task):
    width = trial.suggest_float("width", 0.1, 4.0)
    arch = Arch(task.points, width, 32, trial.suggest_int("size", 32, 512), "direct", neck=0)
    return Config(arch, Training(lr=1e-3, batch=trial.suggest_int("batch", 2, 4096)))

small = {"width": 0.1, "size": 32, "batch": 16}
large = {"width": 2.0, "size": 512, "batch": 64}
study = Study(task, space, trials=2, epochs=3, starts={"large": large, "small": small}, objective=ErrorAlone())
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    file = tmp_path / "noise.py"
    file.write_text(FILE)
    return file


def drive(file: Path, folder: Path, after: Callable[[dict[str, float]], None] = lambda _: None) -> None:
    """What the driver does with a worker's rows, without Ray: each into the book before the next one is asked for."""
    storage = optuna.storages.get_storage(f"sqlite:///{folder}/study.db")
    ledger = Ledger(load_study(str(file)), "noise", storage, "noise")
    ledger.adopt()
    while (trial := ledger.ask()) is not None:
        for row in work(WorkerSettings(str(file), None, str(folder), 1), trial, CPU):
            if "failed" in row:
                ledger.fail(trial.number, row["failed"])
                break
            after(row)
            ledger.report(trial.number, row)
        else:
            ledger.finish(trial.number)
    storage.remove_session()


def apart(run: Callable[[], None]) -> int:
    """Run in a process of its own; its exit code, negative for a signal. A fork has no imports to wait for."""
    process = multiprocessing.get_context("fork").Process(target=run)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        process.start()  # from Python 3.12 on it warns where there are threads; torch has one here, by conftest.py
    process.join(240)
    if process.exitcode is None:
        process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def trials(folder: Path) -> list[FrozenTrial]:
    """What the storage holds."""
    storage = optuna.storages.get_storage(f"sqlite:///{folder}/study.db")
    found = optuna.load_study(study_name="noise", storage=storage).get_trials()
    storage.remove_session()
    return found


def test_a_trial_that_really_runs_out_of_memory_is_recorded_and_the_search_goes_on(
    study_file: Path, tmp_path: Path
) -> None:
    """The system itself refuses the allocation: the process may have 2 GB more, and the trial wants far more."""

    def limited() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2_000_000_000,) * 2)
        drive(study_file, tmp_path)

    assert apart(limited) == 0
    large, small = trials(tmp_path)
    assert large.user_attrs["name"] == "large"
    assert large.state is TrialState.FAIL
    assert large.user_attrs["failed"] == "out of memory: a batch of 64 at 512 px is too much for cpu"
    # The very process that failed trains the next one.
    assert small.user_attrs["name"] == "small"
    assert small.state is TrialState.COMPLETE
    assert list(small.intermediate_values) == [1, 2, 3]


class Counted(torch.nn.Module):
    """BatchNorm over a batch's values alone, as after global pooling: it refuses a batch of one in training."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(12)
        self.last = torch.nn.Linear(12, 12)
        self.seen: list[int] = []

    def logits(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        out: Tensor = self.last(self.norm(images.mean((2, 3))))
        return out


class Small:
    """An architecture of one BatchNorm."""

    size = 56
    input_shape = (12, 56, 56)

    def build(self) -> torch.nn.Module:
        return Counted()


class Rows(RobotHand):
    """Random robot-hand samples, `train` and `valid` of them, without files."""

    def counted(self, train: int, valid: int) -> "Rows":
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (train + valid, 56, 56, 18), np.uint8)
        labels, rows = rng.normal(size=(train + valid, 12)).astype(np.float32), np.arange(train + valid)
        parts = (Part(pixels, part, labels[part]) for part in (rows[:train], rows[train:]))
        object.__setattr__(self, "parts", Split(*parts))
        return self

    def split(self, size: int) -> Split:  # noqa: ARG002
        return self.parts  # type: ignore[attr-defined, no-any-return]

    def augment(self, images: Tensor, targets: Tensor, *_: object) -> tuple[Tensor, Tensor]:
        return self.inputs(images, 56), targets

    def inputs(self, images: Tensor, size: int) -> Tensor:  # noqa: ARG002
        return images[..., :12].permute(0, 3, 1, 2).float() / 255

    def loss(self, net: Counted, images: Tensor, targets: Tensor, how: object) -> tuple[Tensor, Tensor]:  # type: ignore[override] # noqa: ARG002
        said = net.logits(images)
        return (said - targets).square().mean(), said


def test_torch_would_refuse_a_batch_of_one() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        Counted().train().logits(torch.rand(1, 12, 4, 4))


@pytest.mark.parametrize(
    ("train", "batch", "seen"),
    [
        (65, 64, [64]),  # the death itself: 64 and then 1
        (129, 64, [64, 64]),
        (17, 16, [16]),  # exactly one more than a batch
        (3, 2, [2]),
        (64, 64, [64]),
        (63, 64, [63]),  # fewer than a batch
        (2, 64, [2]),
    ],
)
@pytest.mark.parametrize("valid", [1, 257])  # judged one at a time, and 256 with one more behind
def test_a_last_batch_of_one_never_meets_batchnorm(
    monkeypatch: pytest.MonkeyPatch, train: int, batch: int, seen: list[int], valid: int
) -> None:
    nets: list[Counted] = []
    monkeypatch.setattr(Small, "build", lambda _: nets.append(Counted()) or nets[-1])
    config = Config(Small(), Training(lr=0.1, batch=batch))  # type: ignore[arg-type]
    first, second = fit(Rows().counted(train, valid), config, epochs=2, seed=0, device=CPU)
    judged = [1] if valid == 1 else [256, 1]
    assert nets[0].seen == (seen + judged) * 2
    assert first.epoch.images == sum(seen)
    assert second.outputs.shape == (valid, 12)
    assert np.isfinite(second.outputs).all()


def test_a_real_body_is_judged_one_image_at_a_time_as_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(Body("resnet10t", 12, "linear", 56, channels=12), Training(lr=1e-3, batch=64))
    task = Rows().counted(65, 3)
    (together,) = fit(task, config, epochs=1, seed=0, device=CPU)
    monkeypatch.setattr(fitting, "JUDGED_AT_ONCE", 1)
    (singly,) = fit(task, config, epochs=1, seed=0, device=CPU)
    np.testing.assert_allclose(singly.outputs, together.outputs, atol=1e-4)
    assert singly.epoch.error == pytest.approx(together.epoch.error, rel=1e-4)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_kill_between_the_state_and_its_report_loses_nothing(study_file: Path, tmp_path: Path, epoch: int) -> None:
    """SIGKILL when an epoch's state is on disk and the storage does not know of it yet: the unsaved search state."""
    folder = tmp_path / "cut"
    folder.mkdir()
    file = study_file.with_name("small.py")
    alone = FILE.replace('{"large": large, "small": small}', '{"small": small}').replace("trials=2", "trials=1")
    file.write_text(alone)

    def die(row: dict[str, float]) -> None:
        if row["epoch"] == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    assert apart(lambda: drive(file, folder, die)) == -signal.SIGKILL
    (trial,) = trials(folder)
    assert trial.state is TrialState.RUNNING
    known = [row["epoch"] for row in trial.user_attrs.get("curve", [])]
    assert known == list(trial.intermediate_values) == list(range(1, epoch))
    state = weights.load(weights.path(folder / "weights", 0))
    assert state is not None
    # The state is one epoch ahead of the storage, and carries the row that was never reported.
    assert state["epoch"] == state["row"]["epoch"] == epoch
    assert {path.name for path in (folder / "weights").iterdir()} == {"000000.pt", "000000.ticket"}

    drive(file, folder)
    whole = list(whole_rows(file, tmp_path / "whole"))
    (trial,) = trials(folder)
    assert trial.state is TrialState.COMPLETE
    assert trial.user_attrs["curve"][epoch - 1] == state["row"]
    assert list(trial.intermediate_values.values()) == [row["error"] for row in whole]
    assert trial.value == whole[-1]["error"]


def whole_rows(file: Path, folder: Path) -> Iterator[dict[str, float]]:
    """What the same trial reports that nobody kills."""
    study = load_study(str(file))
    ledger = Ledger(replace(study, trials=1), "noise", optuna.storages.InMemoryStorage(), "noise")
    trial = ledger.ask()
    assert isinstance(trial, TrialAssignment)
    yield from work(WorkerSettings(str(file), None, str(folder), 1), trial, CPU)
