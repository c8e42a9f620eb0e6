"""A trained network on disk: weights in two formats and everything that says where they come from.

    FOLDER/model.safetensors   the judged weights, by the names of the network's own modules
    FOLDER/model.pth           the same for torch.load(..., weights_only=True)
    FOLDER/model.json          study, parameters, cost, errors, seeds, versions, data: see `Facts`
    FOLDER/curves.json         a list of rows an epoch for each seed

Nothing in it is code: the study's file rebuilds the network from the parameters.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from data.errors import UserError
from models.cost import cost
from models.plan import Cost
from search.load import load_study
from search.run.ledger import Row
from search.study import Config, Study, replay

FORMAT = 1
"""Of model.json; another number is another version's."""

WEIGHTS, PTH, FACTS, CURVES = "model.safetensors", "model.pth", "model.json", "curves.json"


@dataclass(frozen=True)
class Seed:
    """One of the trainings that were compared.

    Attributes:
        seed: of the training.
        error: on the validation part after the last epoch, with the better of the two weights.
        weights: 'averaged' (running mean, EMA) or 'last'.
        errors: of both, where both were judged.
    """

    seed: int
    error: float
    weights: str
    errors: Mapping[str, float]


@dataclass(frozen=True)
class Facts:
    """model.json.

    Attributes:
        study: the study's name.
        trial: the trial's number in it.
        params: as sampled; `study.space(FixedTrial(params))` is the configuration.
        metric: the error's name.
        unit: the error's unit.
        error: on the validation part, of the weights in the folder.
        params_count: parameters of the deployed network.
        flops: its multiply-adds.
        score: Params [M] x FLOPs [G] x e^error where the study is ranked so, else None.
        epochs: of the training.
        seeds: all trainings; the first is the one whose weights these are.
        teacher: what it was distilled from (a study and trial), else None.
        data: identity, numbers of training and validation images, and the rows of the validation part.
        weights_sha256: of model.safetensors.
        versions: of posefront, torch, and Python; the machine's processor or GPU.
        made: date and time, ISO 8601.
        format: FORMAT.
    """

    study: str
    trial: int
    params: Mapping[str, Any]
    metric: str
    unit: str
    error: float
    params_count: int
    flops: int
    score: float | None
    epochs: int
    seeds: Sequence[Seed]
    teacher: str | None
    data: Mapping[str, Any]
    weights_sha256: str
    versions: Mapping[str, str]
    made: str
    format: int = FORMAT


@dataclass(frozen=True)
class Model:
    """A trained network, read back.

    Attributes:
        folder: where it lies.
        facts: what is said of it.
        curves: rows an epoch, a list for each of `facts.seeds`.
        study: rebuilt from its file.
        config: the trial's.
        net: with its weights, in evaluation mode, on the CPU.
        price: of the deployed network, counted anew.
    """

    folder: Path
    facts: Facts
    curves: Sequence[Sequence[Row]]
    study: Study
    config: Config
    net: nn.Module
    price: Cost


def versions(device: torch.device) -> dict[str, str]:
    """What a result may depend on."""
    processor = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    )
    return {
        "posefront": version("posefront"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": processor,
    }


def save(
    folder: Path, facts: Mapping[str, Any], weights: Mapping[str, Tensor], curves: Sequence[Sequence[Row]]
) -> Facts:
    """Write a model; the folder is complete or as it was.

    Args:
        folder: to make or to replace.
        facts: all fields of `Facts` but weights_sha256 and format.
        weights: judged weights, by the names of the network's modules.
        curves: rows an epoch for each seed.

    Raises:
        UserError: the folder cannot be written.
    """
    half = folder.with_name(f".{folder.name}.{os.getpid()}.half")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    try:
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        safetensors.torch.save_file(tensors, half / WEIGHTS)
        torch.save(tensors, half / PTH)
        made = Facts(**facts, weights_sha256=digest(half / WEIGHTS))
        (half / FACTS).write_text(json.dumps(asdict(made), indent=1), encoding="utf-8")
        (half / CURVES).write_text(json.dumps(list(map(list, curves))), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        half.rename(folder)
    except OSError as error:
        shutil.rmtree(half, ignore_errors=True)
        raise UserError(
            f"cannot write {folder} ({os.strerror(error.errno or 0)}); give --out a folder of yours."
        ) from error
    return made


def load(folder: Path, study: str | None = None, data: Path | None = None) -> Model:
    """Read a model and rebuild its network.

    Args:
        folder: as `save` left it.
        study: name or file of its study; None for studies/NAME.py by the recorded name.
        data: replaces the folder of the task's data set.

    Raises:
        UserError: something is missing, changed, of another version, or the study no longer makes this network.
    """
    facts = read(folder / FACTS)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(
            f"{weights} is missing; make the model anew with `posefront retrain {facts.study} --trial {facts.trial}`."
        )
    if digest(weights) != facts.weights_sha256:
        raise UserError(
            f"{weights} is not what {FACTS} was written for: one of them was changed; fetch or train the model anew."
        )
    chosen = load_study(study or facts.study, data=data)
    try:
        config, _ = replay(chosen, facts.params)
        net = config.arch.build()
        net.load_state_dict(safetensors.torch.load_file(weights))
        curves = json.loads((folder / CURVES).read_text(encoding="utf-8"))
    except (ValueError, TypeError, RuntimeError, OSError, safetensors.SafetensorError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".:")
        raise UserError(
            f"{folder} does not fit the study {facts.study!r} as it is now ({reason}); the study's file was changed "
            "since, or the model is another version's."
        ) from error
    return Model(folder, facts, curves, chosen, config, net.eval(), cost(config.arch))


def read(file: Path) -> Facts:
    """model.json alone.

    Raises:
        UserError: it is missing, no such file, or another version's.
    """
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{file} is missing: {file.parent} is no trained model; `posefront retrain STUDY` makes one."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read ({error}); make the model anew with `posefront retrain STUDY`."
        ) from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        found = said.get("format") if isinstance(said, dict) else None
        raise UserError(f"{file} is of format {found!r}, and this version reads format {FORMAT}; make the model anew.")
    try:
        return Facts(**(said | {"seeds": tuple(Seed(**seed) for seed in said["seeds"])}))
    except (KeyError, TypeError) as error:
        raise UserError(f"{file} lacks or has a field too many ({error}); make the model anew.") from error


def digest(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
