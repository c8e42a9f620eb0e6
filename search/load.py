"""Studies by name: studies/NAME.py of this checkout, or any Python file."""

import dataclasses
import difflib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import BaseTrial

from data.errors import UserError
from search.paths import STUDIES
from search.study import Config, Space, Study, replay


def study_file(name: str) -> Path:
    """The file of a study.

    Args:
        name: 'quickstart' for studies/quickstart.py, or the path of a file that ends in .py.

    Raises:
        UserError: there is none.
    """
    file = Path(name) if name.endswith(".py") else STUDIES / f"{name}.py"
    if file.is_file() and file.name != "__init__.py":
        return file.resolve()
    known = sorted(found.stem for found in STUDIES.glob("*.py") if found.stem != "__init__")
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UserError(f"there is no study {name!r}: {meant}known are {', '.join(known)}, or give the path of a .py file.")


def load_study(name: str, **overrides: Any) -> Study:
    """The study of a file, with some of its fields replaced.

    Args:
        name: as for `study_file`.
        overrides: fields of Study; one that is None leaves the study's own value. `data` replaces the task's root, and
            `weights` what every trial begins with.

    Raises:
        UserError: there is no such file, it cannot be run, it holds no `study`, or a starting trial is outside its
            space.
    """
    file = study_file(name)
    spec = importlib.util.spec_from_file_location(f"study_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        where = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = where[-1].lineno if where else getattr(error, "lineno", None)
        raise UserError(f"{file}, line {line}: {type(error).__name__}: {error}.") from error
    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        raise UserError(f"{file} defines no `study = Study(...)`; add one, as studies/quickstart.py does.")
    if len(inspect.signature(study.space).parameters) != 2:
        raise UserError(f"{file}: the space takes a trial and the task; begin it with `def space(trial, task):`.")
    data, weights = overrides.pop("data", None), overrides.pop("weights", None)
    if data is not None:
        overrides["task"] = dataclasses.replace(study.task, root=Path(data))  # type: ignore[type-var]
    if weights is not None:
        overrides["space"] = begun(study.space, str(weights))
    study = dataclasses.replace(study, **{key: value for key, value in overrides.items() if value is not None})
    for start, params in {**study.starts, **study.published}.items():
        try:
            replay(study, params)
        except ValueError as error:
            raise UserError(f"{file}: the starting trial {start!r} does not fit the space: {error}.") from error
    return study


def begun(space: Space, weights: str) -> Space:
    """A space all of whose networks begin with these weights."""

    def made(trial: BaseTrial, task: Any) -> Config:
        config = space(trial, task)
        return dataclasses.replace(config, training=dataclasses.replace(config.training, weights=weights))

    return made


def with_starts(study: Study, names: Sequence[str]) -> Study:
    """The study that also tries these of its published recipes.

    Raises:
        UserError: one is not known.
    """
    known = {**study.published, **study.starts}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(f"there is no named trial {name!r}: {meant}known are {', '.join(known) or 'none'}.")
    return dataclasses.replace(study, starts={**study.starts, **{name: known[name] for name in names}})
