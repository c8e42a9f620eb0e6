"""Other libraries on the same tables and the same virtual clock: Syne Tune (0.16) and SMAC3 (2.4).

    pip install syne-tune smac
    python -m tests.search_bench.others FOLDER [--seeds 10] [--methods ...] [--out runs.csv]

Neither is a dependency of this project. Lines go to the csv of `tests.search_bench.compare`, which sums them up
with its own. Every method is told the objective after each epoch, has as many workers and the same rungs; what a branch
of a space asks for is always among the parameters, as Syne Tune has no conditional ones, and choices among numbers are
ordinal.

- Syne Tune: its schedulers with their defaults. "ASHA + CQR" is its multi-fidelity CQR, "CQR" stops nothing.
- SMAC3: its multi-fidelity facade (random forest, Hyperband). What it promotes goes on from where it was; its first
  configurations are a quarter of the trials that it is told of, at most, `SMAC_TRIALS`.
"""

import argparse
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial

from tests.search_bench.ask_tell import AskTell, Job
from tests.search_bench.replay import in_virtual_time
from tests.search_bench.runs import Job as Run
from tests.search_bench.runs import Line, budget, fill, line, tables
from tests.search_bench.tables import Entry, Table

SMAC_TRIALS = 200


def ranges(table: Table) -> dict[str, BaseDistribution]:
    """All parameters of a table's space, those of its branches included."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    merged: dict[str, BaseDistribution] = {}
    for _ in range(100):
        trial = study.ask()
        table.entry(trial)
        merged.update(trial.distributions)
    return dict(sorted(merged.items()))


def is_ordinal(distribution: CategoricalDistribution) -> bool:
    """Whether it is a choice among numbers."""
    return all(isinstance(choice, (int, float)) for choice in distribution.choices)


def entry(table: Table, params: Mapping[str, Any]) -> Entry:
    """What a library's parameters name."""
    plain = {name: getattr(value, "item", lambda value=value: value)() for name, value in params.items()}
    return table.entry(FixedTrial(plain))


class SyneTune(AskTell):
    """One of Syne Tune's schedulers.

    Args:
        make: a scheduler of a space, of settings that all have, and of settings of those that stop trials.
    """

    def __init__(self, make: Callable[..., Any], stops: bool, table: Table, seed: int, budget: float) -> None:
        super().__init__(table, seed, budget)
        space = {name: _domain(distribution) for name, distribution in ranges(table).items()}
        stopping = {"time_attr": "epoch", "max_t": table.epochs, "grace_period": table.grace} if stops else {}
        self._scheduler = make(space, metric="value", random_seed=seed, **stopping)
        self._trials: dict[int, Any] = {}

    def suggest(self, number: int) -> Job | None:
        from syne_tune.backend.trial_status import Trial

        suggested = self._scheduler.suggest()
        if suggested is None:
            return None
        trial = Trial(number, suggested.config, datetime.now())
        self._trials[number] = trial
        self._scheduler.on_trial_add(trial)
        return Job(number, entry(self.table, trial.config))

    def judge(self, job: Job, epoch: int, now: float) -> bool:
        trial, result = self._trials[job.number], {"epoch": epoch, "value": now}
        decision = self._scheduler.on_trial_result(trial, result)
        if epoch == self.table.epochs:
            self._scheduler.on_trial_complete(trial, result)
        elif decision == "STOP":
            self._scheduler.on_trial_remove(trial)
        return bool(decision == "CONTINUE")

    def fail(self, job: Job) -> None:
        self._scheduler.on_trial_error(self._trials[job.number])


def _domain(distribution: Any) -> Any:
    from syne_tune.config_space import choice, lograndint, loguniform, ordinal, randint, uniform

    if isinstance(distribution, CategoricalDistribution):
        return (ordinal if is_ordinal(distribution) else choice)(list(distribution.choices))
    if isinstance(distribution, IntDistribution):
        return (lograndint if distribution.log else randint)(distribution.low, distribution.high)
    return (loguniform if distribution.log else uniform)(distribution.low, distribution.high)


class Smac(AskTell):
    """SMAC3's multi-fidelity facade, asked and told."""

    def __init__(self, table: Table, seed: int, budget: float) -> None:
        super().__init__(table, seed, budget)
        from ConfigSpace import ConfigurationSpace
        from smac import MultiFidelityFacade, Scenario

        space = ConfigurationSpace(seed=seed)
        space.add([_parameter(name, distribution) for name, distribution in ranges(table).items()])
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            space,
            output_directory=Path(self._folder.name),
            deterministic=True,
            n_trials=SMAC_TRIALS,
            min_budget=table.grace,
            max_budget=table.epochs,
            seed=seed,
        )
        self._smac = MultiFidelityFacade(scenario, _never, overwrite=True, logging_level=logging.ERROR)
        self._numbers: dict[Any, int] = {}
        self._epochs: dict[int, int] = {}
        self._asked: dict[int, Any] = {}

    def suggest(self, number: int) -> Job | None:
        try:
            info = self._smac.ask()
        except StopIteration:
            return None
        number = self._numbers.setdefault(info.config, number)
        self._asked[number] = info
        return Job(number, entry(self.table, dict(info.config)), self._epochs.get(number, 0) + 1)

    def judge(self, job: Job, epoch: int, now: float) -> bool:
        from smac.runhistory.dataclasses import TrialValue

        info = self._asked[job.number]
        self._epochs[job.number] = epoch
        if epoch < round(info.budget):
            return True
        self._smac.tell(info, TrialValue(cost=now), save=False)
        return False


def _never(config: Any, seed: int, budget: float) -> float:
    """SMAC checks this form, and is told the answers."""
    raise NotImplementedError


def _parameter(name: str, distribution: Any) -> Any:
    from ConfigSpace import Categorical, Float, Integer

    if isinstance(distribution, CategoricalDistribution):
        return Categorical(name, list(distribution.choices), ordered=is_ordinal(distribution))
    kind = Integer if isinstance(distribution, IntDistribution) else Float
    return kind(name, (distribution.low, distribution.high), log=distribution.log)


def search(method: str, table: Table, seed: int, budget: float) -> AskTell:
    """A library's search."""
    if method == "SMAC3":
        return Smac(table, seed, budget)
    from syne_tune.optimizer.baselines import ASHA, ASHACQR, BOHB, CQR

    kinds: dict[str, tuple[Callable[..., Any], bool]] = {
        "ASHA": (ASHA, True),
        "BOHB": (BOHB, True),
        "ASHA + CQR": (ASHACQR, True),
        "CQR": (CQR, False),
    }
    return SyneTune(*kinds[method.removeprefix("Syne Tune ")], table, seed, budget)


METHODS = ("Syne Tune ASHA", "Syne Tune BOHB", "Syne Tune ASHA + CQR", "Syne Tune CQR", "SMAC3")


def run(folder: Path | None, job: Run) -> Line:
    """One replay."""
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, method, seed = job
    table = tables(folder)[name]
    spend = budget(table)
    return line(job, spend, in_virtual_time(search(method, table, seed, spend), spend))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path)
    words.add_argument("--seeds", type=int, default=10)
    words.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS, metavar="METHOD")
    words.add_argument("--tables", nargs="*", help="names; all without it")
    words.add_argument("--processes", type=int, default=1)
    words.add_argument("--out", type=Path, default=Path("runs/search_bench.csv"))
    given = words.parse_args()
    names = given.tables or list(tables(given.folder))
    jobs = [(name, method, seed) for seed in range(given.seeds) for name in names for method in given.methods]
    fill(given.out, jobs, run, given.folder, given.processes)


if __name__ == "__main__":
    main()
