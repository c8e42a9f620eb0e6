"""Weights trained elsewhere as a network's beginning: from a file, or from timm's own where they are already here.

Nothing is ever downloaded, and a file of weights is never allowed to run code.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

TIMM = "timm"
"""The source that means timm's own weights, from this machine's caches."""

ENDINGS = (".safetensors", ".pth", ".pt", ".bin")
NAMES = ("model.safetensors", "pytorch_model.bin")  # of weights in a Hugging Face repository, as timm stores them
INSIDE = ("state_dict", "model")
LEAST = 0.5
"""Of the body's parameters must find a weight; with less, the file is of another network."""

SHOWN = 3  # names in a message


class WeightsError(ValueError):
    """Weights that are not there, cannot be read, or are of another network; one sentence that says the mend."""


@dataclass(frozen=True)
class Loaded:
    """What a network was given."""

    file: Path  # where it came from
    tensors: int  # how many tensors were taken, BatchNorm's running statistics among them
    parameters: int  # trainable numbers that were taken
    body: int  # trainable numbers of the network's body, of which at least half were
    adapted: str  # the convolution that was made to fit another number of input channels; "" for none
    left: tuple[str, ...]  # names in the network that stay freshly initialised, in its order
    unused: tuple[str, ...]  # names in the file that the network has no place for, or of another shape


def load_(net: nn.Module, source: str, name: str = "") -> Loaded:
    """Give a freshly built network the weights of `source`, in place.

    Tensors find their places by name, whatever prefix stands before all names ('module.', 'backbone.', ...), on the
    network's side 'body.'. The first convolution is adapted to another number of input channels as timm does it: the
    channels are repeated and scaled by old / new. Other tensors of another shape, as a head's, are left fresh.

    Args:
        net: the network. Where it has a child `body`, that is what weights are of; anything else is its head.
        source: a file (.safetensors; .pth, .pt or .bin with a state dict, bare or under 'state_dict' or 'model'), or
            'timm' for timm's weights of `name`, if Hugging Face's or torch.hub's cache on this machine has them.
        name: timm's name of the body, for instance 'resnet50' or 'resnet50.a1_in1k'.

    Raises:
        WeightsError: see there; the network is then as it was.
    """
    file = cached(name) if source == TIMM else Path(source).expanduser()
    tensors, wanted = read(file), net.state_dict()
    inside = "body." if isinstance(getattr(net, "body", None), nn.Module) else ""
    places = best_places(tensors, wanted, inside)
    taken, adapted = _taken(net, wanted, {key: tensors[place] for key, place in places.items()})
    parameters = {key: value.numel() for key, value in net.named_parameters()}
    body = {key: count for key, count in parameters.items() if key.startswith(inside)}
    _refuse_another(file, name or "the network", tensors, body, taken)
    broken = [places[key] for key, value in taken.items() if not torch.isfinite(value).all()]
    if broken:
        raise WeightsError(f"{file} holds numbers that are not finite in {_some(broken)}; give whole weights.")
    net.load_state_dict(taken, strict=False)
    used = {places[key] for key in taken}
    return Loaded(
        file=file,
        tensors=len(taken),
        parameters=sum(count for key, count in parameters.items() if key in taken),
        body=sum(body.values()),
        adapted=adapted,
        left=tuple(key for key in wanted if key not in taken and not key.endswith("num_batches_tracked")),
        unused=tuple(key for key in tensors if key not in used),
    )


def _refuse_another(
    file: Path, name: str, tensors: Mapping[str, Tensor], body: Mapping[str, int], taken: Mapping[str, Tensor]
) -> None:
    """Refuse a file that fits too little of a body, whose parameters' sizes are given by their names."""
    size, fits = sum(body.values()), sum(count for key, count in body.items() if key in taken)
    if not size or fits < LEAST * size:
        raise WeightsError(
            f"{file} fits only {fits:,} of the {size:,} parameters of {name}'s body (it has none for "
            f"{_some([key for key in body if key not in taken])}; it does have {_some([*tensors])}); give the weights "
            "of the same architecture."
        )


def _taken(
    net: nn.Module, wanted: Mapping[str, Tensor], offered: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], str]:
    """The tensors that fit, and the name of the first convolution if it was made to."""
    first = next((f"{key}.weight" for key, module in net.named_modules() if isinstance(module, nn.Conv2d)), "")
    taken, adapted = {}, ""
    for key, target in wanted.items():
        value = offered.get(key)
        if value is None:
            continue
        if key == first and value.shape != target.shape and _but_inputs(value, target):
            from timm.models._manipulate import adapt_input_conv

            value, adapted = adapt_input_conv(target.shape[1], value, base_chans=value.shape[1]), key
        if value.shape == target.shape:
            taken[key] = value
    return taken, adapted


def best_places(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], inside: str) -> dict[str, str]:
    """Which name in the file each of the network's names is: by those prefixes that make the most numbers fit.

    Args:
        tensors: the file's tensors.
        wanted: the network's.
        inside: the prefix of the body's names, beside none.
    """
    best: dict[str, str] = {}
    most = -1
    for here in dict.fromkeys(("", inside)):
        for there in prefixes(tensors):
            names = {spelt(key.removeprefix(there)): key for key in tensors if key.startswith(there)}
            places = {
                key: names[short]
                for key in wanted
                if key.startswith(here) and (short := spelt(key.removeprefix(here))) in names
            }
            fits = sum(
                wanted[key].numel() for key, place in places.items() if tensors[place].shape == wanted[key].shape
            )
            if fits > most:
                best, most = places, fits
    return best


def prefixes(names: Mapping[str, Any]) -> Iterator[str]:
    """None, then what stands before the first and the second dot of any name, each once."""
    yield from dict.fromkeys(
        "".join(f"{part}." for part in parts[:depth])
        for depth in (0, 1, 2)
        for parts in (name.split(".") for name in names)
        if len(parts) > depth
    )


def spelt(name: str) -> str:
    """A name in one spelling: timm's networks of features say 'stages_0' for 'stages.0'."""
    return name.replace("_", ".")


def _but_inputs(value: Tensor, target: Tensor) -> bool:
    """Whether two kernels differ in nothing but their input channels."""
    return value.ndim == 4 and value.shape[:1] + value.shape[2:] == target.shape[:1] + target.shape[2:]


def read(file: Path) -> dict[str, Tensor]:
    """The tensors in a file of weights, on the CPU.

    Raises:
        WeightsError: there is no such file, it is cut off, or it holds something else.
    """
    if file.suffix not in ENDINGS:
        raise WeightsError(f"{file} is no file of weights; their names end in {', '.join(ENDINGS)}.")
    if not file.is_file():
        raise WeightsError(f"there are no weights at {file}; give the path of the file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch.load's, of pickles by other versions
            raw: Any = (
                load_file(file)
                if file.suffix == ".safetensors"
                else torch.load(file, map_location="cpu", weights_only=True)
            )
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{file} is damaged, or holds Python objects beside its weights, which could run code when they are "
            "opened; save its state dict alone and give that."
        ) from error
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise WeightsError(
            f"{file} is no file of weights, or is cut off ({reason}); give another, or copy it here anew."
        ) from error
    named: Mapping[Any, Any] = raw if isinstance(raw, Mapping) else {}
    named = next((named[key] for key in INSIDE if isinstance(named.get(key), Mapping)), named)
    tensors = {str(key): value for key, value in named.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{file} holds no state dict, names with tensors, neither bare nor under {_some(INSIDE)}.")
    return tensors


def cached(name: str) -> Path:
    """Where this machine keeps timm's weights of `name`; no network is asked.

    Raises:
        WeightsError: timm has none of that name, or this machine does not.
    """
    from huggingface_hub import constants, try_to_load_from_cache
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name, allow_unregistered=True) if name else None
    if config is None or not config.has_weights:
        raise WeightsError(
            f"timm has no weights for {name!r}; leave pre-trained weights out, or give a file of this architecture's."
            if name
            else "timm has no weights for this architecture, which is none of its; give a file of weights instead."
        )
    repository, _, revision = (config.hf_hub_id or "").partition("@")
    names = (config.hf_hub_filename, *NAMES) if config.hf_hub_filename else NAMES
    for file in names if repository else ():
        place = try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(place, str):
            return Path(place)
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    if config.url and (hub / Path(config.url).name).is_file():
        return hub / Path(config.url).name
    fetch = f"`hf download {repository} {names[0]}`" if repository else f"download {config.url}"
    raise WeightsError(
        f"timm's weights of {name} are not on this machine ({constants.HF_HUB_CACHE} and {hub} were looked through) "
        f"and nothing is downloaded during a search; where there is a network, {fetch}, then pass that file with "
        "--weights FILE."
    )


def _some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
