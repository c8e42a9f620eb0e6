"""A trial's network as training finds it: fresh, or begun from weights that were trained on something else."""

from torch import nn

from data.errors import Mistake
from models.pretrained import WeightsError, load_
from search.study import Config, Study, replay


def build(config: Config) -> nn.Module:
    """The network of a trial, freshly drawn from torch's global random state, then pre-trained where that is asked for.

    Raises:
        Mistake: the weights are not there, are broken, or are another network's.
    """
    net = config.arch.build()
    if config.training.weights:
        try:
            load_(net, config.training.weights, getattr(config.arch, "name", ""))
        except WeightsError as error:
            raise Mistake(f"{error}") from error
    return net


def check(study: Study, weights: str | None) -> None:
    """Whether the weights that every trial shall begin with fit the study's first named trial, before any is trained.

    Raises:
        Mistake: they don't.
    """
    named = {**study.starts, **study.published}
    if weights is not None and named:
        config, _ = replay(study.space, next(iter(named.values())))
        build(config)
