"""A reading: how much memory the activations of one image need at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.readings import Reading

if TYPE_CHECKING:
    from models.plan import Architecture


def peak_activation_mb(arch: Architecture) -> float:
    """Megabytes (10^6 bytes) of the operation at which most activations are alive, in the deployed network.

    For one image in float32. Activations are what the operation reads and writes, and what later ones will read; the
    image is one until it has been read. Views and in-place operations share their memory. What an operation needs
    inside itself is not known. Needs no clock, leaves torch's seed alone, and is the same on every machine.
    """
    import torch
    import torch.fx
    from torch.utils import _pytree as pytree

    from models.fold import Tracer, fold_

    class Liveness(torch.fx.Interpreter):
        """Runs the network operation by operation and drops each result after its last reader."""

        peak = 0

        def run_node(self, n: torch.fx.Node) -> Any:
            result = super().run_node(n)
            values = [value for node, value in {**self.env, n: result}.items() if node.op != "get_attr"]  # no weights
            tensors = [leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, torch.Tensor)]
            storages = {storage.data_ptr(): storage.nbytes() for storage in (t.untyped_storage() for t in tensors)}
            self.peak = max(self.peak, sum(storages.values()))
            return result

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = fold_(arch.build())
        liveness = Liveness(torch.fx.GraphModule(network, Tracer().trace(network)))
        liveness.run(torch.zeros(1, *arch.input_shape))
    return liveness.peak / 1e6


PEAK_ACTIVATION = Reading("peak_activation_mb", "Peak activation", "MB", peak_activation_mb)
"""The largest activation memory of one image, megabytes."""
