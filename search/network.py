"""The network of a configuration, with the weights that it begins with."""

from torch import nn

from data.errors import UserError
from models.pretrained import WeightsError, load_
from search.study import Config


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
