"""What the notebook's training part is filled in with: the training of a model, as Python that needs torch alone."""

import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from data.tasks.losses import FAR, POINT_LOSSES, pick
from data.transforms.affine import augment
from data.transforms.augment import Augment, level
from models.fold import fuse_, merge_
from models.mobilenet import Layer, body_layers, draw_, head_layer
from models.net import Arch
from models.network import Branched
from search.after.model import Model
from search.after.training import EMA
from search.run.training.fit import seeded
from search.run.training.learning_rate import SHAPES
from search.run.training.update import optimizer_of
from search.study import Training
from search.submission.notebook.python_source import arguments, embed, literal
from search.submission.report.markdown import plain

OWN_ROOM = "data"
"""The package of the tasks whose loss and augmentation are known."""

_WIDTH = 110
_SETTINGS = ("lr", "batch", "weight_decay", "warmup", "warmup_from", "lr_end", "milestones", "decay", "clip")
"""Fields of `Training` that the notebook's training reads; the others choose what is written."""

_LOSSES = {
    "distance": "The mean Euclidean distance between answer and truth in sides of the image, rounded off below half a "
    "pixel: sqrt(d^2 + s^2) - s with s of half a pixel.",
    "smooth_l1": "Smooth L1 over coordinates in sides of the image: a square near the truth, a line beyond.",
    "mse": "The mean squared difference of coordinates, in sides of the image.",
}
_SHAPED = {"heatmap": "Jensen-Shannon divergence of the heatmap", "simcc": "Kullback-Leibler divergence of the bins"}


def refusal(model: Model) -> str:
    """Why a model's training cannot be written out, a sentence; empty where it can."""
    config, task = model.config, type(model.study.task)
    if type(config.arch) is not Arch:
        kind = f"{type(config.arch).__module__}.{type(config.arch).__qualname__}"
        return f"its architecture is a {kind}, and networks of models.net.Arch alone can be written out."
    if task.__module__.split(".")[0] != OWN_ROOM:
        return f"the loss and the augmentation are those of {task.__qualname__}, a class of the study's own file."
    for part, known in ((config.training, Training), (config.augment, Augment)):
        if type(part) is not known:
            return f"it has a {type(part).__qualname__} of the study's own file instead of a {known.__qualname__}."
    if not model.facts.data.get("train_ranges"):
        return "its model.json, of an older posefront, does not say which images it was trained on; retrain it."
    if not model.facts.seeds:
        return "its model.json names no seed."
    optimizer = type(_optimizer(config.training))
    if not optimizer.__module__.startswith("torch.optim"):
        return (
            f"its optimiser, {config.training.optimizer}, is timm's own {optimizer.__qualname__} and none of torch's."
        )
    return ""


def values(model: Model, given: dict[str, Any]) -> dict[str, str]:
    """What stands for the marks in the training part's code: Python.

    Args:
        model: one without `refusal`.
        given: what the notebook has already, by name, see `embed`; what is written is added.
    """
    config, facts = model.config, model.facts
    training, seed, arch = config.training, facts.seeds[0], _arch(model)
    given |= {"Augment": Augment, "Training": Training}
    loss = FAR[pick(training.loss, POINT_LOSSES)]
    branches = bool(arch.branches)
    shape = SHAPES[training.schedule]
    far = f"{loss.__name__}(answered, true, SIDE)"
    if training.divergence:
        far += f" + {training.divergence!r} * learner.head.divergence(logits, true)"
    return {
        "HOW": _call("Training", {name: getattr(training, name) for name in _SETTINGS}),
        "AUGMENT": _call("Augment", {field.name: getattr(config.augment, field.name) for field in fields(Augment)}),
        "EPOCHS": repr(facts.epochs),
        "SEED": repr(seed.seed),
        "THREADS": str(int(facts.versions.get("threads", "1"))),
        "EMA": repr(ema(model)),
        "AMP": repr(training.amp),
        "TRAINING_NETWORK": network(arch, given),
        "FOLDING_SOURCE": embed(fuse_, *([merge_] if branches else []), given=given),
        "FLAT": "merge_(copy.deepcopy(learner).eval())" if branches else "copy.deepcopy(learner).eval()",
        "AUGMENT_SOURCE": embed(augment, given=given),
        "LOSS_SOURCE": embed(loss, given=given),
        "FAR": far,
        "SCHEDULE_SOURCE": embed(shape, given=given),
        "SCHEDULE": shape.__name__,
        "OPTIMIZER": _written(_optimizer(training)),
        "SEEDED_SOURCE": embed(seeded, given=given),
    }


def _arch(model: Model) -> Arch:
    """The architecture of a model without `refusal`."""
    assert isinstance(model.config.arch, Arch)  # noqa: S101 - for the type checker
    return model.config.arch


def ema(model: Model) -> float:
    """Decay of the running mean of the weights in a model's training; 0 where none was kept."""
    kept = any("averaged" in seed.errors for seed in model.facts.seeds)
    return (model.config.training.ema or EMA) if kept else 0.0


def words(model: Model) -> dict[str, str]:
    """What stands for the marks in the training part's text: Markdown."""
    config, facts = model.config, model.facts
    training, arch = config.training, _arch(model)
    processor, torch, threads = (plain(facts.versions.get(name, "")) for name in ("processor", "torch", "threads"))
    same = (
        "Random numbers are drawn in the same order, so that on the machine and with the versions that trained it "
        f"({processor}, torch {torch}; CPU threads: {threads or 1}) the same weights come out, to the last bit on a "
        "CPU. Elsewhere sums are rounded otherwise, and it is another draw of the same experiment, as another seed is."
    )
    if len(facts.seeds) > 1:
        errors = ", ".join(f"{seed.error:.2f}" for seed in facts.seeds)
        same += f" The seeds that were compared ended at {errors} {plain(facts.unit)}, and the best of them was kept."
    absent = [f"It learnt from a teacher too ({plain(facts.teacher)})"] if facts.teacher else []
    if training.weights:
        absent.append(f"It began with pre-trained weights ({plain(Path(training.weights).name)})")
    for what in absent:
        same += f" **{what}, which is not in the zip: what follows does without, and ends at another error.**"
    loss = _LOSSES[pick(training.loss, POINT_LOSSES)]
    if training.divergence and arch.head in _SHAPED:
        what = _SHAPED[arch.head]
        loss += f" Beside it, weighted by {training.divergence:g}, the {what} from a Gaussian about the truth."
    branched = ", and several of them, side by side, become one" if arch.branches else ""
    images = sum(end - first for first, end in facts.data["train_ranges"])
    return {
        "SAME": same,
        "LOSS": loss,
        "BRANCHED": branched,
        "TRAIN_IMAGES": f"{images:,}",
        "TRAIN_MB": f"{images * 3 * level(arch.size) ** 2 / 1e6:,.0f}",
    }


def network(arch: Arch, given: dict[str, Any]) -> str:
    """The network of an `Arch` before it is folded, as `class TrainingNet(nn.Module)` after the classes that it uses.

    Given the same random state it is drawn as `arch.build()`, with the same weights in the same order.
    """
    layers, channels, stride = body_layers(arch)
    head = head_layer(arch, channels, stride)
    branched = [partial, Branched] if arch.branches else []
    kinds: dict[Any, None] = dict.fromkeys([*(layer.func for layer in layers), *branched, head.func, draw_])
    rows = "\n".join(f"            {_made(layer)}," for layer in layers)
    return (
        f"{embed(*kinds, given=given)}\n\n\n"
        "class TrainingNet(nn.Module):\n"
        '    """The network while it is trained."""\n\n'
        "    def __init__(self):\n"
        "        super().__init__()\n"
        f"        self.body = nn.Sequential(\n{rows}\n        )\n"
        "        draw_(self.body)\n"
        f"        self.head = {_made(head)}\n\n"
        "    def forward(self, images):\n"
        "        return self.head(self.body(images))"
    )


def _made(layer: Layer) -> str:
    """A layer that is yet to be made, as the call that makes it."""
    return f"{layer.func.__name__}({arguments(layer.args, layer.keywords, _source)})"


def _source(value: Any) -> str:
    """What a layer is made with, as Python."""
    if isinstance(value, partial):
        return f"partial({value.func.__name__}, {_named(value.keywords)})"
    return f"nn.{value.__name__}" if isinstance(value, type) else literal(value, _source)


def _named(values: Mapping[str, Any]) -> str:
    return arguments((), dict(values), _source)


def _call(name: str, values: Mapping[str, Any]) -> str:
    """A call with names, over as many lines as it needs."""
    whole = f"{name}({_named(values)})"
    if len(whole) <= _WIDTH:
        return whole
    lines = textwrap.fill(_named(values) + ",", _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"{name}(\n{lines}\n)"


def _optimizer(training: Training) -> Optimizer:
    """The optimiser that a training has, of one parameter."""
    return optimizer_of(nn.Linear(1, 1), training)


def _written(optimizer: Optimizer) -> str:
    """An optimiser of torch's as a call of its class, with what differs from the defaults."""
    kind = type(optimizer)
    known = inspect.signature(kind.__init__).parameters
    others = {
        name: value
        for name, value in optimizer.defaults.items()
        if name in known and name not in ("lr", "weight_decay") and value != known[name].default
    }
    return f"torch.optim.{kind.__name__}(groups(learner), lr=HOW.lr{', ' * bool(others)}{_named(others)})"
