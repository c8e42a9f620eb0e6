"""The RegNet design space against its paper's tables and timm's own networks."""

import pickle
import random

import pytest
import timm
import torch
from timm.models.regnet import adjust_widths_groups_comp, generate_regnet, model_cfgs
from torch import nn

from models.bodies import Body
from models.cost import cost
from models.regnet import RegNet, stage_count
from models.stages import plan

# d, w0, wa, wm, g of the paper's figure 16 (Radosavovic et al. 2020), and parameters [M] and FLOPs [G] as published.
X = {
    "002": (13, 24, 36.44, 2.49, 8, 2.685, 0.199),
    "004": (22, 24, 24.48, 2.54, 16, 5.158, 0.398),
    "006": (16, 48, 36.97, 2.24, 24, 6.196, 0.601),
    "008": (16, 56, 35.73, 2.28, 16, 7.260, 0.800),
    "016": (18, 80, 34.01, 2.25, 24, 9.190, 1.603),
    "032": (25, 88, 26.31, 2.25, 48, 15.296, 3.177),
    "040": (23, 96, 38.65, 2.43, 40, 22.118, 3.965),
    "064": (17, 184, 60.83, 2.07, 56, 26.209, 6.460),
    "080": (23, 80, 49.56, 2.88, 120, 39.573, 7.995),
    "120": (19, 168, 73.36, 2.37, 112, 46.106, 12.087),
    "160": (22, 216, 55.59, 2.1, 128, 54.279, 15.941),
    "320": (23, 320, 69.86, 2.0, 168, 107.812, 31.736),
}
# Stages that the same figure prints, of three of them.
STAGES = {
    "002": ((24, 56, 152, 368), (1, 1, 4, 7), 8),
    "032": ((96, 192, 432, 1008), (2, 6, 15, 2), 48),
    "320": ((336, 672, 1344, 2520), (2, 7, 13, 1), 168),
}


def shapes(arch: RegNet | Body) -> list[tuple[str, tuple[int, ...]]]:
    with torch.device("meta"):
        return [(name, tuple(p.shape)) for name, p in arch.build().named_parameters()]


@pytest.mark.parametrize("name", X)
def test_published(name: str) -> None:
    """About a second a GFLOP on a core that is shared, a quarter of that on an idle one."""
    *numbers, params, gflops = X[name]
    arch = RegNet(*numbers, 0, 1000, 224)  # type: ignore[arg-type]
    price = cost(arch)
    assert price.trained / 1e6 == pytest.approx(params, rel=1e-3)
    assert price.flops / 1e9 == pytest.approx(gflops, rel=5e-3)
    same = Body(f"regnetx_{name}", 1000, "linear", 224)
    assert shapes(arch) == shapes(same)  # and so the cost is the same
    with torch.device("meta"):
        blocks = [arch.build().body.get_submodule(f"s{i}") for i in range(1, 5)]
    assert arch.stages.depths == tuple(len([*stage.children()]) for stage in blocks)
    assert arch.stages.widths == tuple(stage.b1.conv3.conv.out_channels for stage in blocks)
    groups = tuple(stage.b1.conv2.conv.in_channels // stage.b1.conv2.conv.groups for stage in blocks)
    assert arch.stages.groups == groups
    if name in STAGES:
        assert (arch.stages.widths, arch.stages.depths, arch.stages.groups[-1]) == STAGES[name]


def test_body_costs_the_same() -> None:
    ours, body = RegNet(*X["002"][:5], 0, 1000, 224), Body("regnetx_002", 1000, "linear", 224)  # type: ignore[arg-type]
    assert cost(ours) == cost(body)


@pytest.mark.parametrize("name", ["regnety_002", "regnety_016", "regnety_320"])
def test_regnety(name: str) -> None:
    config = model_cfgs[name]
    arch = RegNet(config.depth, config.w0, config.wa, config.wm, config.group_size, 0.25, 1000, 224)
    assert shapes(arch) == shapes(Body(name, 1000, "linear", 224))
    with torch.device("meta"):
        published = timm.create_model(name)
    assert sum(p.numel() for p in published.parameters()) == sum(torch.Size(s).numel() for _, s in shapes(arch))


def test_squeeze_excitation_is_fvcores() -> None:
    """Its gate stays free: 200 MF as the paper's figure 17 says."""
    price = cost(Body("regnety_002", 1000, "linear", 224))
    assert price.flops / 1e9 == pytest.approx(0.2, rel=5e-3)
    assert price.trained / 1e6 == pytest.approx(3.16, abs=0.005)


def test_steps_with_every_option() -> None:
    arch = RegNet(8, 16, 20.0, 2.4, 8, 0.25, 7, (64, 96), channels=4, drop_path=0.1, bottle=0.5)
    torch.manual_seed(0)
    net = arch.build()
    torch.manual_seed(0)
    again = arch.build().state_dict()
    assert all(torch.equal(value, again[key]) for key, value in net.state_dict().items())
    images = torch.randn(2, *arch.input_shape)
    net.train()(images).square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert net.eval()(images).shape == net.logits(images).shape == (2, 7)
    assert {m.conv2.conv.out_channels * 2 for m in net.modules() if hasattr(m, "conv3")} == set(arch.stages.widths)
    price, drawn = cost(arch), plan(arch)
    assert price.trained == sum(p.numel() for p in net.parameters())
    assert [s.repeats for s in drawn.stages[1:-1]] == [*arch.stages.depths]
    assert {s.kind for s in drawn.stages[1:-1]} == {"bottleneck"}
    assert all(s.squeeze for s in drawn.stages[1:-1])
    assert not [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.bias is not None and m.kernel_size != (1, 1)]
    assert pickle.loads(pickle.dumps(arch)) == arch  # noqa: S301 - our own


def test_widths_by_hand() -> None:
    """Blocks are 8 + 20 j wide: 8, 28, 48, 68, 88; 8 x 3^k nearest in logs, k = 0, 1, 2, 2, 2: 8, 24, 72, 72, 72."""
    assert stage_count(5, 8, 20.0, 3.0) == 3
    # j = 0 ... 9: k = round(log_3(1 + 2.5 j)) = 0, 1, 2, 2, 2, 2, 3, 3, 3, 3
    arch = RegNet(10, 8, 20.0, 3.0, 8, 0, 2, 64)
    assert arch.stages.widths == (8, 24, 72, 216)
    assert arch.stages.depths == (1, 1, 4, 4)


def test_stages_are_timms() -> None:
    """Bit for bit, ties in rounding among them; 60,000 draws of these agreed when this was written."""
    draw, seen = random.Random(0), 0
    while seen < 300:
        wa, wm = (
            draw.choice([draw.uniform(0, 300), 8.0, 20.0, 24.0]),
            draw.choice([draw.uniform(1.05, 5), 1.5, 2.0, 2.5]),
        )
        depth, w0, group, bottle = draw.randint(4, 64), 8 * draw.randint(1, 60), draw.choice([1, 16, 40]), 0.3
        blocks, count, groups = generate_regnet(wa, w0, wm, depth, group)
        assert stage_count(depth, w0, wa, wm) == count
        if count == 4:
            raw = list(dict.fromkeys(blocks))
            theirs = adjust_widths_groups_comp(raw, [bottle] * 4, groups)
            ours = RegNet(depth, w0, wa, wm, group, 0, 2, 64, bottle=bottle).stages
            assert (list(ours.widths), list(ours.groups)) == theirs
            assert list(ours.depths) == [blocks.count(width) for width in raw]
            seen += 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"depth": 3}, "RegNet.depth is 3, but must be a whole number from 4 to 64"),
        ({"w0": 20}, "RegNet.w0 is 20, but must be a multiple of 8"),
        ({"wa": -1.0}, "RegNet.wa is -1.0, but must be from 0.0 to 1024.0"),
        ({"wm": 1.0}, "RegNet.wm is 1.0, but must be above 1"),
        ({"group": 0}, "RegNet.group is 0"),
        ({"se": float("nan")}, "RegNet.se is nan"),
        ({"bottle": 0.0}, "RegNet.bottle is 0.0"),
        ({"outputs": 0}, "RegNet.outputs is 0"),
        ({"size": 16}, "RegNet.size is 16"),
        ({"drop_path": -0.1}, "RegNet.drop_path is -0.1"),
        ({"wa": 0.0}, "RegNet of depth 13, w0 24, wa 0 and wm 2.49 has 1 stages, but must have 4"),
    ],
)
def test_refuses(values: dict[str, float], said: str) -> None:
    fine = dict(zip(("depth", "w0", "wa", "wm", "group"), X["002"], strict=False))
    with pytest.raises(ValueError, match=said):
        RegNet(**{**fine, "se": 0.0, "outputs": 2, "size": 64, **values})  # type: ignore[arg-type]
