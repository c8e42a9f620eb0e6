"""Studies by name: studies/NAME.py of this checkout, or any Python file."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from search.paths import STUDIES
from search.study import Config, Study, replay

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


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
    names = sorted(study.stem for study in STUDIES.glob("*.py") if study.stem != "__init__")
    raise UserError(
        f"there is no study {name!r}: {_did_you_mean(name, names)}known are {', '.join(names)}, or give the path of a "
        ".py file."
    )


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}? " if near else ""


def load_study(name: str, **overrides: Any) -> Study:
    """The study of a file, with some of its fields replaced.

    Args:
        name: as for `study_file`.
        overrides: fields of Study; one that is None leaves the study's own value. `data` replaces the task's root.

    Raises:
        UserError: there is no such file, it cannot be run, it holds no `study`, or a starting trial is outside its
            space.
    """
    file = study_file(name)
    study = getattr(_run(file), "study", None)
    if not isinstance(study, Study):
        raise UserError(f"{file} defines no `study = Study(...)`; add one, as studies/quickstart.py does.")
    data = overrides.pop("data", None)
    if data is not None:
        overrides["task"] = dataclasses.replace(study.task, root=Path(data))  # type: ignore[type-var]
    if len(inspect.signature(study.space).parameters) != 2:
        where = f"{file}, line {inspect.unwrap(study.space).__code__.co_firstlineno}"
        raise UserError(f"{where}: the space takes a trial and the task; begin it with `def space(trial, task):`.")
    study = dataclasses.replace(study, **{key: value for key, value in overrides.items() if value is not None})
    _check_space(study, file)
    return study


def _run(file: Path) -> ModuleType:
    """The module of a study's file.

    Raises:
        UserError: it cannot be run; the sentence names the line.
    """
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
        raise UserError(f"{_place(file, error)}: {type(error).__name__}: {error}.") from error
    return module


def _place(file: Path, error: BaseException) -> str:
    """The file with the line of it that an error came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    return str(file) if line is None else f"{file}, line {line}"


def _check_space(study: Study, file: Path) -> None:
    """Whether the space's ranges can be searched, and its starting trials lie in them.

    Raises:
        UserError: they do not; the sentence names the file and, of a range, its line.
    """
    from search.space_check import RangeError, branches, kept

    named = {**study.starts, **study.published}
    try:
        list(branches(study))
    except RangeError as error:
        raise UserError(f"{_place(file, error)}: {error}.") from error
    if not named:
        _try(study, file, None)
    for start, params in named.items():
        _try(study, file, start)
        for name, value in params.items():
            if not kept(value):
                raise UserError(
                    f"{file}: the starting trial {start!r} has {name} = {value!r}, a {type(value).__name__}, which the "
                    "storage does not keep as it is; write a text, a number, True, False or None."
                )


def _try(study: Study, file: Path, start: str | None) -> None:
    """Whether the space makes a configuration of a named trial, or, for want of one, nothing but sense of lower ends.

    Raises:
        UserError: it does not.
    """
    from search.space_check import RangeCheck

    where = "" if start is None else f" (in the starting trial {start!r})"
    try:
        if start is None:
            config = study.space(RangeCheck({}), study.task)
        else:
            config, _ = replay(study, {**study.published, **study.starts}[start])
    except UserError:
        raise
    except (TypeError, AttributeError, NameError) as error:
        raise UserError(f"{_place(file, error)}: {type(error).__name__}: {error}{where}.") from error
    except Exception as error:
        if start is None:
            return  # lower ends alone need not make a network
        raise UserError(f"{file}: the starting trial {start!r} does not fit the space: {error}.") from error
    if not isinstance(config, Config):
        line = inspect.unwrap(study.space).__code__.co_firstlineno
        raise UserError(f"{file}, line {line}: the space returned {config!r}{where}; end it with `return Config(...)`.")


def with_starts(study: Study, names: Sequence[str]) -> Study:
    """The study that also tries these of its published recipes.

    Raises:
        UserError: one is not known.
    """
    recipes: Mapping[str, Mapping[str, Any]] = {**study.published, **study.starts}
    for name in names:
        if name not in recipes:
            near = _did_you_mean(name, list(recipes))
            raise UserError(f"there is no named trial {name!r}: {near}known are {', '.join(recipes) or 'none'}.")
    return dataclasses.replace(study, starts={**study.starts, **{name: recipes[name] for name in names}})


def beginning(config: Config, weights: str) -> Config:
    """A configuration whose network begins with these weights."""
    return dataclasses.replace(config, training=dataclasses.replace(config.training, weights=weights))


def with_weights(study: Study, weights: str | None) -> Study:
    """The study all of whose networks begin with these weights, tried on its first named trial.

    Raises:
        UserError: the weights are not there, are broken, or do not fit that trial's network.
    """
    if weights is None:
        return study
    from search.network import build

    place = weights_place(weights)
    space = study.space

    def begun(trial: BaseTrial, task: Any) -> Config:
        return beginning(space(trial, task), place)

    study = dataclasses.replace(study, space=begun)
    named = {**study.starts, **study.published}
    if named:
        build(replay(study, next(iter(named.values())))[0])
    return study


def weights_place(weights: str) -> str:
    """What `--weights` gives, as workers in other folders find it."""
    from models.pretrained import TIMM

    return weights if weights == TIMM else str(Path(weights).expanduser().absolute())
