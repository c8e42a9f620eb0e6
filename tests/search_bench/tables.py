"""Tables of trained networks that searches are replayed on: what every configuration costs, and its error by epoch.

All are put into the form of the course's score, ln(Params [M]) + ln(FLOPs [G]) + error:

- **NAAP-440** (Hakim 2022, https://arxiv.org/abs/2209.06626; MIT): 440 small CNNs on CIFAR-10 with their exact
  parameters and multiply-adds. The error is 100 (1 - test accuracy) x 0.25: networks differ by 22 % of accuracy and by
  a factor of 70 in price (4.2 nats), and in a study of hands errors differ by about as many px as prices by nats.
  Seconds are the multiply-adds of an epoch at 10^10 a second, for each image three times, and 2 s.
- **LCBench** (Zimmer et al. 2021; surrogate of YAHPO Gym, Pfisterer et al. 2022, https://arxiv.org/abs/2109.03670;
  Apache-2.0): funnel-shaped MLPs on 34 data sets. Parameters follow from max_units and num_layers with 64 inputs and
  2 classes; a multiply-add each. The error is 100 (1 - validation balanced accuracy) x 0.5: over random networks its
  standard deviation is then 0.7 to 2.6 times that of the price (NAAP-440 1.5, drawn hands 3.1). Seconds are its own.
- **drawn hands**, our own: PixelDiff in px as it is, parameters and FLOPs as counted, CPU-seconds. Written by
  `tests.search_bench.record`.

Params and FLOPs are never among what architectures are compared by, so that a sampler cannot read a price off one.
"""

import csv
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from optuna.trial import BaseTrial


@dataclass(frozen=True)
class Entry:
    """A configuration of a table; stands for an architecture in a replayed search.

    Attributes:
        key: what its training and price follow from.
        params_m: millions.
        gflops: thousands of millions of multiply-adds.
    """

    key: tuple[Any, ...]
    params_m: float = field(compare=False)
    gflops: float = field(compare=False)


class Table(Protocol):
    """What a replay must know."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def epochs(self) -> int:
        """Length of a full training."""

    @property
    def grace(self) -> int:
        """Epochs before ASHA's first rung."""

    def entry(self, trial: BaseTrial) -> Entry:
        """The space: what a trial's parameters name."""

    def curve(self, entry: Entry, seed: int) -> tuple[Sequence[float], Sequence[float]]:
        """Errors and seconds of each epoch."""

    def best(self) -> float:
        """The smallest final value of any training; where the table is not finite, of 20,000 at random."""


def value(entry: Entry, error: float) -> float:
    """ln of the course's score."""
    return math.log(entry.params_m) + math.log(entry.gflops) + error


@dataclass(frozen=True)
class Naap:
    """NAAP-440. Samples that name no network of the table stand for the one that differs in the fewest places."""

    folder: Path
    name = "NAAP-440"
    epochs = 90
    grace = 3

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        with (self.folder / "naap440.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    @cached_property
    def _codes(self) -> np.ndarray[Any, Any]:
        """(440, 10): widths of the first two layers; kernel, width, stride, residual of two more, 0 for no layer."""
        codes = []
        for scheme in json.loads((self.folder / "generated_schemes.json").read_text()):
            code = [scheme[0]["width"], scheme[1]["width"]]
            for place in (2, 3):
                layer = scheme[place] if place < len(scheme) else dict.fromkeys(("kernel_size", "width", "stride"), 0)
                residual = int(layer.get("residual", False))
                code += [layer["kernel_size"], layer["width"], layer["stride"], residual]
            codes.append(code)
        return np.array(codes)

    @cached_property
    def _choices(self) -> list[list[int]]:
        return [sorted({int(v) for v in column}) for column in self._codes.T]

    @cached_property
    def _places(self) -> dict[tuple[int, ...], int]:
        return {tuple(map(int, code)): row for row, code in enumerate(self._codes)}

    def entry(self, trial: BaseTrial) -> Entry:
        names = ("width1", "width2", "kernel3", "width3", "stride3", "residual3")
        code = [trial.suggest_categorical(name, self._choices[i]) for i, name in enumerate(names)]
        kernel = trial.suggest_categorical("kernel4", self._choices[6])
        code.append(kernel)
        for i, name in enumerate(("width4", "stride4", "residual4"), 7):
            choices = [choice for choice in self._choices[i] if choice or "residual" in name]
            code.append(trial.suggest_categorical(name, choices) if kernel else 0)
        return self._entry(int((self._codes != np.array(code)).sum(1).argmin()))

    def _entry(self, row: int) -> Entry:
        found, code = self._rows[row], tuple(map(int, self._codes[row]))
        return Entry(code, float(found["NumParams"]) / 1e6, float(found["NumMACs"]) / 1e9)

    def curve(self, entry: Entry, seed: int) -> tuple[Sequence[float], Sequence[float]]:  # noqa: ARG002
        row = self._rows[self._places[entry.key]]
        errors = [25 * (1 - float(row[f"e{epoch}Accuracy"])) for epoch in range(1, self.epochs + 1)]
        return errors, [2 + 3 * 50_000 * entry.gflops / 10] * self.epochs

    @cache  # noqa: B019 - tables live as long as the program
    def best(self) -> float:
        entries = [self._entry(row) for row in range(len(self._rows))]
        return min(value(entry, self.curve(entry, 0)[0][-1]) for entry in entries)


@dataclass(frozen=True)
class LCBench:
    """One data set of LCBench's surrogate."""

    folder: Path
    task: str
    epochs = 52
    grace = 2

    @property
    def name(self) -> str:
        return f"LCBench {self.task}"

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(str(self.folder / "model.onnx"), options)

    @cached_property
    def _code(self) -> int:
        return int(json.loads((self.folder / "encoding.json").read_text())["OpenML_task_id"][self.task])

    def entry(self, trial: BaseTrial) -> Entry:
        key = (
            trial.suggest_int("batch_size", 16, 512, log=True),
            trial.suggest_float("learning_rate", 1e-4, 0.1, log=True),
            trial.suggest_float("momentum", 0.1, 0.99),
            trial.suggest_float("weight_decay", 1e-5, 0.1),
            trial.suggest_int("num_layers", 1, 5),
            trial.suggest_int("max_units", 64, 1024, log=True),
            trial.suggest_float("max_dropout", 0.0, 1.0),
        )
        return self._entry(key)

    def _entry(self, key: tuple[Any, ...]) -> Entry:
        sizes = np.linspace(key[5], 2, key[4] + 1).round()  # from the widest layer to the two classes in equal steps
        sizes = np.array([64, *sizes])
        products = float((sizes[:-1] * sizes[1:]).sum())
        return Entry(key, (products + float(sizes[1:].sum())) / 1e6, products / 1e9)

    def _answers(self, keys: Sequence[tuple[Any, ...]], epochs: Sequence[int]) -> np.ndarray[Any, Any]:
        """(keys, epochs, 6): seconds since the start, accuracy in %, cross-entropy, balanced accuracy 0 to 1, ..."""
        rows = np.array([(epoch, *key) for key in keys for epoch in epochs], np.float32)
        codes = np.full((len(rows), 1), self._code, np.int32)
        (answers,) = self._session.run(None, {"x_cat": codes, "x_cont": rows})
        return np.asarray(answers).reshape(len(keys), len(epochs), -1)

    def curve(self, entry: Entry, seed: int) -> tuple[Sequence[float], Sequence[float]]:  # noqa: ARG002
        answers = self._answers([entry.key], range(1, self.epochs + 1))[0]
        errors = 50 * (1 - answers[:, 3])
        seconds = np.diff(np.maximum.accumulate(answers[:, 0]), prepend=0.0)
        return errors.tolist(), np.maximum(seconds, 0.01).tolist()

    @cache  # noqa: B019
    def best(self) -> float:
        place = np.random.default_rng(0).random((20_000, 7))
        log = {i: low * (high / low) ** place[:, i] for i, low, high in ((0, 16, 512), (1, 1e-4, 0.1), (5, 64, 1024))}
        columns = [
            log[0].round(),
            log[1],
            0.1 + 0.89 * place[:, 2],
            1e-5 + (0.1 - 1e-5) * place[:, 3],
            1 + (5 * place[:, 4]).astype(int),
            log[5].round(),
            place[:, 6],
        ]
        entries = [self._entry((int(k[0]), *k[1:4], int(k[4]), int(k[5]), k[6])) for k in np.stack(columns, 1).tolist()]
        answers = self._answers([entry.key for entry in entries], [self.epochs])[:, 0, 3]
        errors = 50 * (1 - answers)
        return min(value(entry, float(error)) for entry, error in zip(entries, errors, strict=True))


@dataclass(frozen=True)
class Recorded:
    """A table that `record` made of a study with a finite space.

    Samples that were not recorded stand for the recorded ones that differ in the fewest places, the first of these.
    """

    file: Path
    grace = 1

    @property
    def name(self) -> str:
        return self.file.name.partition(".")[0].replace("_", " ")

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        with gzip.open(self.file, "rt", newline="") as file:
            return list(csv.DictReader(file))

    @cached_property
    def _names(self) -> list[str]:
        columns = list(self._rows[0])
        return columns[2 : columns.index("params_m")]

    @cached_property
    def epochs(self) -> int:
        return max(int(row["epoch"]) for row in self._rows)

    @cached_property
    def _curves(self) -> Mapping[tuple[str, ...], dict[int, list[dict[str, str]]]]:
        """By parameters, by seed, in order of the epochs."""
        curves: dict[tuple[str, ...], dict[int, list[dict[str, str]]]] = {}
        for row in self._rows:
            key = tuple(row[name] for name in self._names)
            curves.setdefault(key, {}).setdefault(int(row["seed"]), []).append(row)
        return curves

    @cached_property
    def _choices(self) -> list[list[str]]:
        """What each parameter may be, numbers ascending."""
        return [sorted({key[place] for key in self._curves}, key=_as_number) for place in range(len(self._names))]

    def entry(self, trial: BaseTrial) -> Entry:
        """Numbers are sampled by their place in the order."""
        key = []
        for name, choices in zip(self._names, self._choices, strict=True):
            if isinstance(_as_number(choices[0]), float):
                key.append(choices[trial.suggest_int(name, 0, len(choices) - 1)])
            else:
                key.append(trial.suggest_categorical(name, choices))
        seeds = self._curves.get(tuple(key)) or self._curves[self._nearest(key)]
        return self._entry(next(iter(seeds.values()))[0])

    def _nearest(self, key: Sequence[str]) -> tuple[str, ...]:
        return min(sorted(self._curves), key=lambda other: sum(a != b for a, b in zip(key, other, strict=True)))

    def curve(self, entry: Entry, seed: int) -> tuple[Sequence[float], Sequence[float]]:
        seeds = self._curves[entry.key]
        rows = seeds[sorted(seeds)[seed % len(seeds)]]
        return [float(row["error"]) for row in rows], [float(row["seconds"]) for row in rows]

    @cache  # noqa: B019
    def best(self) -> float:
        ends = [row for row in self._rows if int(row["epoch"]) == self.epochs]
        return min(value(self._entry(row), float(row["error"])) for row in ends)

    def _entry(self, row: Mapping[str, str]) -> Entry:
        return Entry(tuple(row[name] for name in self._names), float(row["params_m"]), float(row["gflops"]))


def _as_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
