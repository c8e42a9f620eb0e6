"""A trained network on disk: weights in two formats and everything that says where they come from.

    FOLDER/model.safetensors   the judged weights, by the names of the network's own modules
    FOLDER/model.pth           the same for torch.load(..., weights_only=True)
    FOLDER/model.json          study, parameters, cost, errors, seeds, versions, data: see `Facts`
    FOLDER/curves.json         a list of rows an epoch for each seed

Nothing in it is code: the network is rebuilt from the configuration in model.json (see search.config_record). Only a
model of before configurations were kept, or one whose architecture its study's file defines, needs that file.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from data.errors import UserError
from data.task import BaseTask
from data.transforms.augment import MEAN, STD
from search import origin, signals
from search.after.preprocessing import STRICT, Preprocessing
from search.config_record import config_of, needs_file
from search.config_record import record as config_record
from search.paths import unwritable

if TYPE_CHECKING:  # model.json is read without torch
    import torch

    from models.plan import Cost
    from search.run.settings import Row
    from search.study import Config, Study, Task

FORMAT = 1
"""Of model.json; another number is another version's."""

WEIGHTS, PTH, FACTS, CURVES = "model.safetensors", "model.pth", "model.json", "curves.json"


@dataclass(frozen=True)
class Seed:
    """One of the trainings that were compared."""

    __pydantic_config__ = STRICT

    seed: int  # of the training
    error: FiniteFloat  # on the validation part after the last epoch, with the better of the two weights
    weights: str  # 'averaged' (running mean, EMA) or 'last'
    errors: Mapping[str, float]  # of both, where both were judged; one that was not chosen need not be finite


@dataclass(frozen=True)
class Loser:
    """A candidate for a full training that another one was preferred to."""

    __pydantic_config__ = STRICT

    trial: int  # its number in the search
    epochs: int  # that it was trained for, before it was stopped
    error: FiniteFloat | None  # after these; None of a training that failed before its first epoch, or diverged
    behind: FiniteFloat | None  # its objective minus the winner's after the same epoch; None as above
    reason: str = ""  # why it failed, else empty


@dataclass(frozen=True)
class Facts:
    """model.json."""

    __pydantic_config__ = STRICT

    study: str  # the study's name
    trial: int  # the trial's number in it
    params: Mapping[str, Any]  # as sampled; `study.space(FixedTrial(params))` is the configuration
    metric: str  # the error's name
    unit: str  # the error's unit
    error: FiniteFloat  # on the validation part, of the weights in the folder
    params_count: int  # parameters of the deployed network
    flops: int  # its multiply-adds
    score: FiniteFloat | None  # Params [M] x FLOPs [G] x e^error where the study is ranked so, else None
    epochs: int  # of the training
    seeds: Sequence[Seed]  # all trainings; the first is the one whose weights these are
    teacher: str | None  # what it was distilled from (a study and trial), else None
    # identity, numbers of training and validation images, the rows of the validation part; not in older models: those
    # of the training part as pairs (first, last + 1), the settings of a drawn set, and what the data are (`about`)
    data: Mapping[str, Any]
    weights_sha256: str  # of model.safetensors
    versions: Mapping[str, str]  # of posefront (`origin.program`), torch, and Python; the machine's processor or GPU
    made: str  # date and time, ISO 8601
    format: Literal[1] = 1  # FORMAT
    # names of the network's answers; None in models of before it was recorded, as are the next ones
    labels: tuple[str, ...] | None = None
    edges: tuple[tuple[int, int], ...] | None = None  # which points a drawing joins, as pairs of places in `labels`
    mirrored: tuple[int, ...] | None = None  # for each label the one that a mirror shows in its place
    size: int | tuple[int, int] | None = None  # of the input in pixels, the side of a square or (height, width)
    arch: Mapping[str, Any] | None = None  # the architecture, in models of before `config` was recorded
    study_id: str | None = None  # the study's own id
    config: Mapping[str, Any] | None = None  # the trial's configuration, as search.config_record keeps it
    # how pixels become inputs; None also where the task does it in a way of its own
    preprocessing: Preprocessing | None = None
    margin: float | None = None  # side of an object's crop in its box's larger sides; None of whole pictures, too
    lost: tuple[Loser, ...] | None = None  # candidates that this one was preferred to; None where it was the only one
    # the error of the same weights on `train_images` images of the training part, without augmentation and in
    # evaluation mode (search.run.training.clean); None in models of before it was measured
    train_error: FiniteFloat | None = None
    train_images: int | None = None

    @property
    def name(self) -> str:
        """Study, trial and error in words."""
        return f"{self.study} trial {self.trial}, {self.error:.4g} {self.unit}"

    def record(self) -> dict[str, Any]:
        """As model.json has it: without what an older model did not record."""
        later = [field.name for field in fields(self) if field.default is None]
        return {name: value for name, value in asdict(self).items() if value is not None or name not in later}


_FACTS = TypeAdapter(Facts)


def about(task: Task) -> dict[str, str]:
    """What a report says of a task's data, see `BaseTask.about`; empty of a task that does not say it."""
    return task.about() if isinstance(task, BaseTask) else {}


def described(task: Task, config: Config) -> dict[str, Any]:
    """What a model's network answers and is, as fields of `Facts`."""
    return {
        "labels": tuple(task.labels),
        "edges": tuple((a, b) for a, b in task.edges),
        "mirrored": task.mirrored,
        "size": config.arch.size,
        "config": config_record(config),
        "preprocessing": Preprocessing.of(task),
        "margin": getattr(task, "margin", None),
    }


@dataclass(frozen=True)
class Model:
    """A trained network, read back."""

    folder: Path  # where it lies
    facts: Facts  # what is said of it
    curves: Sequence[Sequence[Row]]  # rows an epoch, a list for each of `facts.seeds`
    source: Study | str  # its study, or the name or file of it
    config: Config  # the trial's
    net: torch.nn.Module  # with its weights, in evaluation mode, on the CPU
    price: Cost  # of the deployed network, counted anew
    data: Path | None = None  # replaces the folder of the task's data set

    @cached_property
    def study(self) -> Study:
        """Its study, with the points that the model recorded; the file is run when this is first asked for.

        Raises:
            UserError: there is no such study.
        """
        return _studied(self.source, self.facts, self.data)

    @property
    def preprocess(self) -> Callable[[torch.Tensor, Any], torch.Tensor]:
        """Makes the network's inputs of pixels; the study's task does where the model did not record how."""
        return self.facts.preprocessing or self.study.task.inputs

    @property
    def margin(self) -> float | None:
        """Side of an object's crop in its box's larger sides; the study's where the model did not record it."""
        return getattr(self.study.task, "margin", None) if self.facts.margin is None else self.facts.margin

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the network's answers; the study's where the model did not record them."""
        return self.study.task.labels if self.facts.labels is None else self.facts.labels

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Which points a drawing joins; the study's where the model did not record them."""
        return self.study.task.edges if self.facts.edges is None else self.facts.edges


def _studied(source: Study | str, facts: Facts, data: Path | None) -> Study:
    from search.load import load_study

    study = load_study(source, data=data) if isinstance(source, str) else source
    if facts.labels is None or facts.edges is None:
        return study
    return replace(study, task=study.task.with_points(facts.labels, facts.edges, facts.mirrored))


def best_device() -> torch.device:
    """A GPU where there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def versions(device: torch.device) -> dict[str, str]:
    """What a result may depend on."""
    import torch

    processor = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    )
    return {
        **origin.program(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": processor,
    }


def save(
    folder: Path, facts: Mapping[str, Any], weights: Mapping[str, torch.Tensor], curves: Sequence[Sequence[Row]]
) -> Facts:
    """Write a model; the folder is complete or as it was.

    Args:
        folder: to make or to replace.
        facts: the fields of `Facts` but weights_sha256 and format.
        weights: judged weights, by the names of the network's modules.
        curves: rows an epoch for each seed.

    Raises:
        UserError: the folder cannot be written.
    """
    import safetensors.torch
    import torch

    half = folder.with_name(f".{folder.name}.{os.getpid()}.half")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    try:
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        (half / WEIGHTS).write_bytes(safetensors.torch.save(tensors))  # its `save_file` lets nobody else read it
        torch.save(tensors, half / PTH)
        record = Facts(**facts, weights_sha256=digest(half / WEIGHTS))
        (half / FACTS).write_text(json.dumps(record.record(), indent=1), encoding="utf-8")
        (half / CURVES).write_text(json.dumps(list(map(list, curves))), encoding="utf-8")
        with signals.held():
            shutil.rmtree(folder, ignore_errors=True)
            half.rename(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return record


def load(folder: Path, study: Study | str | None = None, data: Path | None = None) -> Model:
    """Read a model and rebuild its network.

    Args:
        folder: as `save` left it.
        study: its study, or the name or file of it; None for studies/NAME.py by the recorded name.
        data: replaces the folder of the task's data set, of a study that is loaded by its name or file.

    Raises:
        UserError: something is missing, changed, of another version, or the study no longer makes this network.
    """
    facts = read(folder / FACTS)  # says no before torch is imported
    weights = folder / WEIGHTS
    if not weights.is_file() or digest(weights) != facts.weights_sha256:
        what = "not what model.json was written for: one of them was changed" if weights.is_file() else "missing"
        raise UserError(
            f"{weights} is {what}; make the model anew with `posefront retrain {facts.study} --trial {facts.trial}`."
        )
    import safetensors.torch

    model = rebuilt(folder, facts, study, data)
    with _fitting(folder, facts):
        model.net.load_state_dict(safetensors.torch.load_file(weights))
        curves = json.loads((folder / CURVES).read_text(encoding="utf-8"))
    return replace(model, curves=curves)


def rebuilt(folder: Path, facts: Facts, study: Study | str | None = None, data: Path | None = None) -> Model:
    """A model as its facts describe it, whose weights and curves are yet to be loaded; for the arguments see `load`.

    Raises:
        UserError: the study no longer makes this network, or its pixels are normalised otherwise now.
    """
    from models.cost import cost

    if facts.preprocessing is not None and (facts.preprocessing.mean, facts.preprocessing.std) != (MEAN, STD):
        raise UserError(f"{folder} was trained on pixels of another normalisation; use the version that trained it.")
    source: Study | str = study or facts.study
    if facts.config is None or needs_file(facts.config):
        source = _studied(source, facts, data)
    with _fitting(folder, facts):
        config = config_of(source, facts.params, facts.config)
        net = config.arch.build()
    return Model(folder, facts, [], source, config, net.eval(), cost(config.arch), data)


@contextmanager
def _fitting(folder: Path, facts: Facts) -> Iterator[None]:
    import safetensors

    try:
        yield
    except (ValueError, TypeError, RuntimeError, OSError, safetensors.SafetensorError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".:")
        raise UserError(
            f"{folder} does not fit the study {facts.study!r} as it is now ({reason}); the study's file was changed "
            "since, or the model is another version's."
        ) from error


def is_submission(folder: Path) -> bool:
    """Whether a folder is an unpacked submission, whose model.json says more than a model's."""
    try:
        record = json.loads((folder / FACTS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and "submission" in record


def read(file: Path) -> Facts:
    """model.json alone.

    Raises:
        UserError: it is missing, no such file, or another version's.
    """
    try:
        content = file.read_bytes()
        record = json.loads(content)
    except FileNotFoundError as error:
        beside = sorted(str(place) for place in file.absolute().parent.parent.glob(f"{escape(file.parent.name)}-*"))
        there = f"there are {', '.join(beside)}" if beside else "`posefront retrain STUDY` makes one"
        raise UserError(f"{file} is missing: {file.parent} is no trained model; {there}.") from error
    except NotADirectoryError as error:
        raise UserError(f"{file.parent} is no folder; name that of a model or an unpacked submission.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{file} cannot be read ({error}); make the model anew with `posefront retrain STUDY`."
        ) from error
    if isinstance(record, dict) and "submission" in record:
        raise UserError(f"{file} is a submission's, for predict, export and verify; name the model it was packed from.")
    version_ = record.get("format") if isinstance(record, dict) else None
    if version_ != FORMAT:
        raise UserError(
            f"{file} is of format {version_!r}, and this version reads format {FORMAT}; make the model anew."
        )
    try:
        return parsed(content)
    except ValidationError as error:
        raise UserError(f"{file} {problem(error)}; make the model anew.") from error


def parsed(content: bytes) -> Facts:
    """What a model.json says.

    Raises:
        pydantic.ValidationError: a field is missing, too many or of another type.
    """
    return _FACTS.validate_json(content)


def problem(error: ValidationError) -> str:
    """What is wrong with a record's first wrong field."""
    first = error.errors(include_url=False)[0]
    what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if "missing" in first["type"] or "unexpected" in first["type"]:
        return f"lacks or has a field too many ({what})"
    return f"has a field of another type ({what})"


def digest(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
