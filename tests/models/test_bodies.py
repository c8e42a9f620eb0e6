"""Networks of timm's build, step, count and answer as published, and their heads say what they should."""

import pickle

import numpy as np
import pytest
import timm
import torch
from timm.layers import DropPath
from timm.models import is_model_in_modules
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.backbones import CELL, LINEAR_STD, MAPS_STD, peaks
from models.bodies import Body
from models.cost import cost, measure
from models.fold import fold, fold_
from models.stages import plan, plan_of

# The six networks of the published comparison, as they are there: twelve channels of 224 x 224 in, twelve numbers out.
BIG = {
    "resnest269e": Body("resnest269e", 12, "linear", 224, channels=12),
    "convnext_base": Body("convnext_base", 12, "linear", 224, channels=12),
    "hrnet_w32": Body("hrnet_w32", 12, "linear", 224, channels=12),
    "poseresnet152": Body("resnet152", 12, "linear", 224, channels=12, upsample=3),
    "resnet50": Body("resnet50", 12, "linear", 224, channels=12),
    "resnet152": Body("resnet152", 12, "linear", 224, channels=12),
}
# Parameters with 3 channels and 1000 classes: timm's results table (ResNeSt: Zhang et al. 2020, table 3).
PUBLISHED = {"resnest269e": 110.93, "convnext_base": 88.59, "hrnet_w32": 41.23, "resnet50": 25.56, "resnet152": 60.19}
SMALL = [
    Body("resnet18", 5, "linear", (64, 96), channels=12),
    Body("resnet10t", 5, "heatmap", (64, 96), upsample=3, deconv=32),
    Body("resnet10t", 5, "linear", 64, upsample=3, deconv=16),
    Body("mobilenetv3_small_050", 3, "linear", 72),
    Body("mobilenetv3_small_050", 3, "heatmap", 64, upsample=3, deconv=16, channels=4),
    Body("regnety_002", 5, "linear", 64, drop_path=0.2),
    Body("hrnet_w18_small", 5, "linear", (64, 32)),
    Body("hrnet_w18_small", 5, "heatmap", (32, 64), channels=1),
    Body("convnext_atto", 5, "linear", 64, drop_path=0.1),
    Body("resnest14d", 5, "linear", 64),
]


def shapes(arch: Body) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(p.shape) for name, p in arch.build().named_parameters()}


@pytest.mark.parametrize("arch", SMALL, ids=lambda arch: f"{arch.name}-{arch.head}")
def test_builds_steps_and_is_priced(arch: Body) -> None:
    torch.manual_seed(0)
    net = arch.build()
    torch.manual_seed(0)
    again = arch.build().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in net.state_dict().items())
    images = torch.randn(2, *arch.input_shape)
    _, height, width = arch.input_shape
    logits = net.train().logits(images)
    assert logits.shape == ((2, arch.outputs) + ((height // CELL, width // CELL) if arch.head == "heatmap" else ()))
    (logits**2).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    torch.optim.SGD(net.parameters(), 0.1).step()
    net.eval()
    assert net(images[:1]).shape == ((1, arch.outputs, 3) if arch.head == "heatmap" else (1, arch.outputs))
    torch.testing.assert_close(fold(net)(images), net(images), rtol=1e-4, atol=1e-5)
    assert not [m for m in fold(net).modules() if isinstance(m, nn.BatchNorm2d)]
    price, drawn = cost(arch), plan(arch)
    assert price.trained == sum(p.numel() for p in net.parameters())
    assert sum(stage.params for stage in drawn.stages) == price.params
    assert sum(stage.flops for stage in drawn.stages) == price.flops
    assert len(drawn.stages) <= 20
    assert drawn.stages[-1].head
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        fold_(arch.build())(torch.empty(1, *arch.input_shape))
    products = [row.flops for row in price.layers if row.type in {"Conv2d", "ConvTranspose2d", "Linear"}]
    assert sum(products) == counter.get_total_flops() // 2


@pytest.mark.parametrize(("name", "arch"), BIG.items(), ids=BIG)
def test_big_bodies_are_priced(name: str, arch: Body) -> None:
    price = cost(arch)
    with torch.device("meta"):
        drawn = plan_of(arch.build(), price, arch.input_shape)
        plain = timm.create_model(arch.name, in_chans=12, num_classes=12)
        published = timm.create_model(arch.name)
        with FlopCounterMode(display=False) as counter:
            fold_(arch.build())(torch.empty(1, *arch.input_shape))
    if name in PUBLISHED:
        assert price.trained == sum(p.numel() for p in plain.parameters())
        assert round(sum(p.numel() for p in published.parameters()) / 1e6, 2) == PUBLISHED[name]
    else:
        body = sum(p.numel() for p in plain.parameters()) - (2048 + 1) * 12
        deconv = (2048 + 256 + 256) * 256 * 16 + 3 * 2 * 256
        assert price.trained == body + deconv + (256 + 1) * 12
    products = [row.flops for row in price.layers if row.type in {"Conv2d", "ConvTranspose2d", "Linear"}]
    assert sum(products) == counter.get_total_flops() // 2
    # pooling, nearest neighbours, LayerNorm, scales, split attention: everything else is next to nothing
    assert sum(products) < price.flops < 1.005 * sum(products)
    assert sum(stage.flops for stage in drawn.stages) == price.flops
    assert len(drawn.stages) <= 20


@pytest.mark.parametrize("arch", BIG.values(), ids=BIG)
def test_big_bodies_step(arch: Body) -> None:
    net = Body(arch.name, 12, "linear", 64, channels=12, upsample=arch.upsample).build().train()
    before = [p.detach()[..., :1].clone() for p in net.parameters()]
    net(torch.randn(2, 12, 64, 64)).square().mean().backward()
    torch.optim.AdamW(net.parameters(), 1e-3).step()
    changed = [not torch.equal(p[..., :1], old) for p, old in zip(net.parameters(), before, strict=True)]
    assert all(p.isfinite().all() for p in net.parameters())
    assert sum(changed) > 0.5 * len(changed)  # before a branch that starts at zero nothing moves in the first step


@pytest.mark.parametrize(
    ("name", "params", "raw", "folded"), [("resnet50", 34.00, 7.267, 7.235), ("resnet152", 68.64, 16.994, 16.932)]
)
def test_pose_resnet(name: str, params: float, raw: float, folded: float) -> None:
    arch = Body(name, 17, "heatmap", 256, upsample=3)
    plain = measure(arch.build(), arch.input_shape)
    assert round(plain.params / 1e6, 2) == params
    assert round(plain.flops / 1e9, 3) == raw
    deployed = cost(arch)
    assert round(deployed.trained / 1e6, 2) == params
    assert round(deployed.flops / 1e9, 3) == folded
    with torch.device("meta"):
        stages = plan_of(arch.build(), deployed, arch.input_shape).stages
    drawn = [(stage.kind, stage.repeats, stage.channels, stage.sides) for stage in stages]
    assert drawn == [
        ("convolution", 1, 64, (128, 128)),
        ("bottleneck", 3, 256, (64, 64)),
        ("bottleneck", 8 if name == "resnet152" else 4, 512, (32, 32)),
        ("bottleneck", 36 if name == "resnet152" else 6, 1024, (16, 16)),
        ("bottleneck", 3, 2048, (8, 8)),
        *(("transposed convolution", 1, 256, (side, side)) for side in (16, 32, 64)),
        ("1 x 1 convolution", 1, 17, (64, 64)),
    ]


@pytest.mark.parametrize(("name", "published"), [("hrnet_w32", 28.5), ("hrnet_w48", 63.6)])
def test_hrnet_for_pose(name: str, published: float) -> None:
    """Sun et al. 2019, table 1: what the finest branch does not read is not there."""
    arch = Body(name, 17, "heatmap", (256, 192))
    assert round(sum(np.prod(shape) for shape in shapes(arch).values()) / 1e6, 1) == published


def test_branches_side_by_side_are_drawn_as_such() -> None:
    found = plan(Body("hrnet_w32", 17, "heatmap", 64)).stages
    branches = [(s.kind, s.repeats, s.channels, s.sides) for s in found if "parallel" in s.kind]
    assert branches == [
        ("2 parallel branches", 1, 32, (16, 16)),
        ("3 parallel branches", 4, 32, (16, 16)),
        ("4 parallel branches", 3, 32, (16, 16)),
    ]


def test_blocks_are_called_by_their_names() -> None:
    kinds = {arch.name: {stage.kind for stage in plan(arch).stages} for arch in SMALL}
    assert "ConvNeXt block" in kinds["convnext_atto"]
    assert "ResNeSt bottleneck" in kinds["resnest14d"]
    assert "inverted residual" in kinds["mobilenetv3_small_050"]
    assert kinds["regnety_002"] == {"convolution", "bottleneck", "pooling, linear"}


def test_last_batch_of_one() -> None:
    """Where BatchNorm sees a single value a channel no batch of one can be trained on, but it can be judged."""
    one = torch.randn(1, 3, 64, 64)
    split = Body("resnest14d", 2, "linear", 64).build()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        split.train()(one)
    assert split.eval()(one).isfinite().all()
    tiny = Body("resnet18", 2, "linear", 32).build()  # its last maps are 1 x 1
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        tiny.train()(one[..., :32, :32])
    assert Body("convnext_atto", 2, "linear", 32).build().train()(one).shape == (1, 2)


def test_heads_start_small() -> None:
    linear = Body("resnet18", 200, "linear", 64).build().head.linear
    assert float(linear.weight.detach().std()) == pytest.approx(LINEAR_STD, rel=0.05)
    assert not linear.bias.detach().any()
    net = Body("resnet10t", 100, "heatmap", 64, upsample=3, deconv=64).build()
    for weight in (net.head.maps.weight, net.steps[0][0].weight):
        assert float(weight.detach().std()) == pytest.approx(MAPS_STD, rel=0.05)


@pytest.mark.parametrize("name", ["convnext_atto", "regnety_002", "resnet18"])
def test_drop_path(name: str) -> None:
    def rates(rate: float) -> list[float]:
        net = Body(name, 2, "linear", 64, drop_path=rate).build()
        return [m.drop_prob for m in net.modules() if isinstance(m, DropPath)]

    assert not rates(0.0)
    assert max(rates(0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"outputs": 0}, "Body.outputs is 0, but must be a whole number from 1 to"),
        ({"head": "box"}, "Body.head is 'box', but must be one of"),
        ({"size": 31}, "Body.size is 31, but must be a number from 32 to 1024"),
        ({"size": (64, 2000)}, r"Body.size is \(64, 2000\)"),
        ({"size": (64.0, 64)}, r"Body.size is \(64.0, 64\)"),
        ({"channels": 1.5}, "Body.channels is 1.5, but must be a whole number"),
        ({"upsample": 2}, r"Body.upsample is 2, but must be one of \(0, 3\)"),
        ({"deconv": 4}, "Body.deconv is 4, but must be a whole number from 8 to 2048"),
        ({"drop_path": 1.0}, "Body.drop_path is 1.0"),
        ({"head": "heatmap"}, "Body.upsample is 0, but heatmaps of resnet18 need 3"),
        ({"head": "heatmap", "upsample": 3, "size": 80}, "needs multiples of 32"),
        ({"name": "hrnet_w18_small", "size": 80}, "needs multiples of 32"),
        ({"name": "hrnet_w18_small", "upsample": 3}, "hrnet_w18_small has fine maps already"),
        ({"name": "resnest14d", "drop_path": 0.1}, "timm's ResNeSt applies it to its shortcuts"),
    ],
)
def test_refuses(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Body(**{"name": "resnet18", "outputs": 2, "head": "linear", "size": 64, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnest-269", "Body.name is 'resnest-269', which timm .* does not know; near it: resnest269e"),
        ("convnext_bse", "near it: convnext_base"),
    ],
)
def test_refuses_names_that_timm_does_not_know(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Body(name, 2, "linear", 64).build()


@pytest.mark.parametrize("module", ["hrnet", "resnest"])
def test_names_tell_the_family(module: str) -> None:
    """`Body` knows an HRNet and a ResNeSt by the name alone, without timm."""
    names = timm.list_models()
    assert [n for n in names if n.startswith(module)] == [n for n in names if is_model_in_modules(n, [module])]


def test_refuses_what_timm_has_not() -> None:
    with pytest.raises(ValueError, match=r"Body.drop_path is 0.1, but timm's hrnet_w18_small has none"):
        Body("hrnet_w18_small", 2, "linear", 64, drop_path=0.1).build()
    with pytest.raises(ValueError, match="deit_tiny_patch16_224 does not end in maps of a 32nd"):
        Body("deit_tiny_patch16_224", 2, "heatmap", 224, upsample=3).build()


def test_is_plain_data() -> None:
    arch = Body("resnet18", 2, "linear", (64, 96))
    assert pickle.loads(pickle.dumps(arch)) == arch  # noqa: S301 - our own
    assert hash(arch) == hash(Body("resnet18", 2, "linear", (64, 96)))
    assert cost(Body("resnet10t", 2, "linear", 32)) is cost(Body("resnet10t", 2, "linear", 32))


def test_peaks_against_brute_force() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 4, 6, 9))
    answer = peaks(torch.from_numpy(maps)).numpy()
    for heat, (x, y, score) in zip(maps.reshape(-1, 6, 9), answer.reshape(-1, 3), strict=True):
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        dx = 0.25 * np.sign(heat[row, column + 1] - heat[row, column - 1]) if 0 < column < 8 else 0
        dy = 0.25 * np.sign(heat[row + 1, column] - heat[row - 1, column]) if 0 < row < 5 else 0
        np.testing.assert_allclose([x, y, score], [(column + 0.5 + dx) / 9, (row + 0.5 + dy) / 6, heat.max()])


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 8), (5, 0), (5, 8), (2, 4)])
def test_peaks_at_the_edges(row: int, column: int) -> None:
    maps = torch.zeros(1, 1, 6, 9)
    maps[0, 0, row, column] = 2
    torch.testing.assert_close(peaks(maps), torch.tensor([[[(column + 0.5) / 9, (row + 0.5) / 6, 2.0]]]))


def test_peaks_of_half_precision_are_exact() -> None:
    """bfloat16 has 8 bits: a place in it would be wrong by half a cell of 64."""
    maps = torch.randn(1, 5, 96, 128, dtype=torch.bfloat16)
    answer = peaks(maps)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, peaks(maps.float()))
