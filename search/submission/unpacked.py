"""An unpacked submission as a model: what predict and export read beside the folders that retrain leaves."""

from dataclasses import replace
from pathlib import Path

from data.errors import UserError
from search.after import model as models
from search.submission import archive, claims
from search.submission.forms import form_of_members
from search.submission.notebook import network_source


def load(folder: Path, study: str | None) -> models.Model:
    """The network of a submission with its packed weights; nothing that lies in the folder is run.

    Args:
        folder: unpacked.
        study: its study, by name or file; None for studies/NAME.py by the recorded name.

    Raises:
        UserError: something is missing, was changed since it was packed, or cannot be rebuilt.
    """
    facts, part = claims.read(folder / models.FACTS)
    source = study or claims.study_name(facts)
    weights = folder / models.PTH
    if not weights.is_file() or models.digest(weights) != part.members.get(models.PTH):
        raise UserError(f"{weights} is missing, or not the one that was packed; unpack the zip anew.")
    model = models.rebuilt(folder, facts, source)
    net = model.net
    if form_of_members(list(part.members)).notebook:  # whose network this is
        net = network_source.plain(network_source.source(net, model.config.arch.input_shape))
    if wrong := archive.load_weights(net, weights):
        raise UserError(f"{weights}: {wrong}; unpack the zip anew.")
    return replace(model, net=net)
