"""A trial's network as training finds it: fresh, or begun from weights that were trained on something else."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from data.errors import UserError
from models.pretrained import TIMM, WeightsError, load_
from search.study import Config, Study, replay


def build(config: Config) -> nn.Module:
    """The network of a trial, freshly drawn from torch's global random state, then pre-trained where that is asked for.

    Raises:
        UserError: the weights are not there, are broken, or are another network's.
    """
    net = config.arch.build()
    if config.training.weights:
        try:
            load_(net, config.training.weights, getattr(config.arch, "name", ""))
        except WeightsError as error:
            raise UserError(f"{error}") from error
    return net


def checked(study: Study, weights: str | None) -> str | None:
    """What every trial shall begin with, as workers in other folders find it; tried on the study's first named trial.

    Raises:
        UserError: the weights are not there, are broken, or do not fit that trial's network.
    """
    if weights is None:
        return None
    meant = weights if weights == TIMM else str(Path(weights).expanduser().absolute())
    named = {**study.starts, **study.published}
    if named:
        config, _ = replay(study, next(iter(named.values())))
        build(replace(config, training=replace(config.training, weights=meant)))
    return meant
