"""Published networks by their timm names, with a head for numbers or for heatmaps."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

import timm
import torch
from timm.models import is_model_in_modules
from torch import Tensor, nn

LINEAR_STD = 0.01
"""Of a linear head's weights, normal around 0 (Goyal et al. 2017, section 5.1); its bias is 0."""
MAPS_STD = 0.001
"""Of the weights of transposed convolutions and heatmaps, normal around 0 (Xiao et al. 2018, their code)."""
CELL = 4
"""Pixels of the input that a heatmap's cell is wide and high."""


class Headed(Protocol):
    """An architecture that `BodyNet` can be built from."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""

    @property
    def outputs(self) -> int:
        """Numbers or heatmaps that it answers."""


@dataclass(frozen=True)
class Body:
    """A network of timm's with a head: everything that Params and FLOPs depend on.

    `Body("resnet152", 17, "heatmap", 256, upsample=3)` is PoseResNet-152 (Xiao et al. 2018, "Simple Baselines",
    https://arxiv.org/abs/1804.06208); `Body("hrnet_w32", 17, "heatmap", (256, 192))` is HRNet for pose (Sun et al.
    2019, https://arxiv.org/abs/1902.09212), whose other branches end where the finest one has read them.

    Attributes:
        name: timm's, for instance "resnet50", "resnest269e", "convnext_base", "hrnet_w32", "regnety_004".
        outputs: numbers, classes or heatmaps, 1 to 100,000.
        head: "linear" (global pooling as timm's classifier has it, then one linear layer) or "heatmap" (a 1 x 1
            convolution on features of a quarter of the input's sides).
        size: of the input in pixels, (height, width) or one number for both, 32 to 1024. Multiples of 32 with
            heatmaps and in every HRNet, whose branches would not meet otherwise.
        channels: of the input, 1 to 1024.
        upsample: 4 x 4 transposed convolutions of stride 2, each with BatchNorm and ReLU, before the head: 0 or 3.
            Heatmaps need 3, HRNet none: its finest branch is read.
        deconv: channels of these, 8 to 2048.
        drop_path: rate of stochastic depth at the last block, 0 up to but without 1 (Huang et al. 2016).

    Raises:
        ValueError: timm does not know the name, or a value is out of its range.
    """

    name: str
    outputs: int
    head: str
    size: int | tuple[int, int]
    channels: int = 3
    upsample: int = 0
    deconv: int = 256
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        """Refuses unknown names and values out of range."""
        if not timm.is_model(self.name):
            near = get_close_matches(self.name, timm.list_models(), 5) or timm.list_models(f"*{self.name[:4]}*")[:5]
            known = f"; near it: {', '.join(near)}" if near else ""
            raise ValueError(f"Body.name is {self.name!r}, which timm {timm.__version__} does not know{known}")
        check_head(self)
        check_whole(self, "deconv", 8, 2048)
        for name, allowed in (("head", ("linear", "heatmap")), ("upsample", (0, 3))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"Body.{name} is {getattr(self, name)!r}, but must be one of {allowed}")
        if self.parallel and self.upsample:
            raise ValueError(f"Body.upsample is {self.upsample}, but {self.name} has fine maps already: 0")
        if self.head == "heatmap" and not self.parallel and not self.upsample:
            raise ValueError(f"Body.upsample is 0, but heatmaps of {self.name} need 3")
        if (self.parallel or self.head == "heatmap") and any(side % 32 for side in self.input_shape[1:]):
            raise ValueError(f"Body.size is {self.size}, but {self.name} with head {self.head!r} needs multiples of 32")
        if self.drop_path and is_model_in_modules(self.name, ["resnest"]):
            # timm 1.0.31 drops the shortcut of the first block of a stage instead of the branch of every block
            raise ValueError(f"Body.drop_path is {self.drop_path}, but timm's ResNeSt applies it to its shortcuts: 0")

    @property
    def parallel(self) -> bool:
        """Whether it is an HRNet."""
        return bool(is_model_in_modules(self.name, ["hrnet"]))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, *sides(self.size))

    def build(self) -> BodyNet:
        """The network with fresh weights, drawn from torch's global generator.

        Raises:
            ValueError: timm's network has no drop path, or no maps of a 32nd of the input to start from.
        """
        body = self._backbone()
        if self.head == "linear" and not self.upsample:
            return BodyNet(self, body, Pooled(body.head_hidden_size, self.outputs, pool=False))
        width = body.feature_info.channels()[-1]
        steps = [transposed(self.deconv if i else width, self.deconv) for i in range(self.upsample)]
        width = self.deconv if steps else width
        last = Maps(width, self.outputs) if self.head == "heatmap" else Pooled(width, self.outputs, pool=True)
        return BodyNet(self, body, last, nn.Sequential(*steps))

    def _backbone(self) -> Any:
        """The network of timm without its classifier, as far as it is needed."""
        options: dict[str, Any] = {"in_chans": self.channels}
        if self.drop_path:
            options["drop_path_rate"] = self.drop_path
        pooled = self.head == "linear" and not self.upsample
        if pooled:
            options["num_classes"] = 0
        elif self.parallel:
            options |= {"features_only": True, "feature_location": "", "out_indices": (1,)}
        else:
            options |= {"features_only": True, "out_indices": (-1,)}
        try:
            body = timm.create_model(self.name, **options)
        except TypeError as error:
            if self.drop_path and "drop_path_rate" in str(error):
                raise ValueError(f"Body.drop_path is {self.drop_path}, but timm's {self.name} has none: 0") from error
            raise
        if pooled:
            return body
        if self.parallel:
            last = body.stage4[-1]
            last.fuse_layers = last.fuse_layers[:1]  # nobody reads the coarser ones
        elif body.feature_info.reduction()[-1] != 32 or getattr(body, "output_fmt", "NCHW") != "NCHW":
            raise ValueError(f"Body.upsample is {self.upsample}, but {self.name} does not end in maps of a 32nd: 0")
        return body


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a size."""
    return (size, size) if isinstance(size, int) else size


def check_whole(arch: Any, name: str, low: int, high: int) -> None:
    """Refuse a field that is no whole number of its range.

    Raises:
        ValueError: says the field, its value and the range.
    """
    value = getattr(arch, name)
    if not isinstance(value, int) or not low <= value <= high:
        field = f"{type(arch).__name__}.{name}"
        raise ValueError(f"{field} is {value!r}, but must be a whole number from {low} to {high}")


def check_head(arch: Any) -> None:
    """Refuse an impossible input, answer or drop path of an architecture.

    Raises:
        ValueError: `outputs`, `channels`, `size` or `drop_path` is out of its range.
    """
    kind = type(arch).__name__
    check_whole(arch, "outputs", 1, 100_000)
    check_whole(arch, "channels", 1, 1024)
    both = sides(arch.size)
    if not isinstance(both, tuple) or len(both) != 2 or not all(isinstance(s, int) and 32 <= s <= 1024 for s in both):
        raise ValueError(f"{kind}.size is {arch.size!r}, but must be a number from 32 to 1024 or (height, width)")
    if not 0 <= arch.drop_path < 1:
        raise ValueError(f"{kind}.drop_path is {arch.drop_path}, but must be from 0 up to but without 1")


def transposed(channels: int, out: int) -> nn.Sequential:
    """Twice the resolution: a transposed convolution, BatchNorm, ReLU (Xiao et al. 2018, section 2)."""
    conv = nn.ConvTranspose2d(channels, out, 4, 2, padding=1, bias=False)
    nn.init.normal_(conv.weight, std=MAPS_STD)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


class Pooled(nn.Module):
    """Numbers by one linear layer: (B, C), or (B, C, h, w) that is averaged first, -> (B, outputs)."""

    def __init__(self, channels: int, outputs: int, pool: bool) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1) if pool else nn.Identity()
        self.linear = nn.Linear(channels, outputs)
        nn.init.normal_(self.linear.weight, std=LINEAR_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features -> (B, outputs)."""
        numbers: Tensor = self.linear(self.pool(features).flatten(1))
        return numbers

    def decode(self, logits: Tensor) -> Tensor:
        """The same numbers."""
        return logits


class Maps(nn.Module):
    """One heatmap an output: (B, C, h, w) -> (B, outputs, h, w)."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.maps = nn.Conv2d(channels, outputs, 1)
        nn.init.normal_(self.maps.weight, std=MAPS_STD)
        nn.init.zeros_(self.maps.get_parameter("bias"))

    def forward(self, features: Tensor) -> Tensor:
        """Features -> heatmaps; row is y, column is x."""
        maps: Tensor = self.maps(features)
        return maps

    def decode(self, logits: Tensor) -> Tensor:
        """Heatmaps (B, P, h, w) -> (B, P, 3); see `peaks`."""
        return peaks(logits)


def peaks(maps: Tensor) -> Tensor:
    """Where the largest value of each heatmap stands, and how large it is, in float32 at least.

    The place is the centre of the cell, a quarter of a cell nearer to the larger of its neighbours along each axis
    (Newell et al. 2016, section 3.3; Xiao et al. 2018); in the outermost rows and columns the centre.

    Args:
        maps: (B, P, h, w), h and w at least 2.

    Returns:
        (B, P, 3): x and y as fractions of the map's sides, [0, 1] spanning its edges, and the value.
    """
    height, width = maps.shape[-2:]
    flat = maps.flatten(2)
    flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
    at = flat.argmax(-1, keepdim=True)
    places = []
    for cell, count, step in ((at % width, width, 1), (at // width, height, width)):
        inside = (cell > 0) & (cell < count - 1)
        step_in = inside * step  # 0 at the edge: both neighbours are the cell itself
        slope = flat.gather(-1, at + step_in) - flat.gather(-1, at - step_in)
        places.append((cell + 0.5 + 0.25 * slope.sign()) / count)
    return torch.cat([*places, flat.amax(-1, keepdim=True)], dim=-1)


class BodyNet(nn.Module):
    """A network of timm's and a head.

    Attributes:
        arch: what it was built from.
        body: timm's own module, for its weights.
        steps: transposed convolutions, perhaps none.
        head: `Pooled` or `Maps`.
    """

    def __init__(self, arch: Headed, body: nn.Module, head: Pooled | Maps, steps: nn.Module | None = None) -> None:
        super().__init__()
        self.arch = arch
        self.body = body
        self.steps = nn.Identity() if steps is None else steps
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W), normalised -> (B, outputs) numbers, or (B, outputs, 3): x, y and score."""
        return self.decode(self.logits(images))

    def logits(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> (B, outputs), or heatmaps (B, outputs, H / 4, W / 4)."""
        features = self.body(images)
        last = features[-1] if isinstance(features, list) else features
        answer: Tensor = self.head(self.steps(last))
        return answer

    def decode(self, logits: Tensor) -> Tensor:
        """Logits as they are, or heatmaps -> (B, outputs, 3): x, y as fractions of the input's sides, and the score."""
        return self.head.decode(logits)
