"""The family builds everywhere, is what its table says, and its heads say what they should."""

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from timm import layers
from timm.models._efficientnet_blocks import SqueezeExcite as TimmSqueezeExcite
from timm.models._efficientnet_builder import EfficientNetBuilder, decode_arch_def
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F  # noqa: N812 - its usual name

from models.cost import cost
from models.heads import BIN_SIGMA, SimCC, centres
from models.net import Arch
from models.network import ConvNormAct, Net, SqueezeExcite

HEADS = ("direct", "heatmap", "simcc")
REFERENCE = Arch(21, 1.0, 16, 224, "heatmap", deconv=112, separable=False)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("stride", [16, 32])
@pytest.mark.parametrize("size", [32, 33, 47, 75, 511])
def test_any_size_builds_and_starts_in_the_middle(head: str, stride: int, size: int) -> None:
    torch.manual_seed(0)
    arch = Arch(21, 0.1, stride, size, head, upsample=size % 3)
    net = arch.build()
    points = net(torch.randn(2, *arch.input_shape))
    assert points.shape == (2, 21, 2)
    # a map that reaches past the image has its middle past the image's
    coarse = 0.25 / (size / stride * 2**arch.upsample) if head == "heatmap" else 0.0
    assert (points.mean((0, 1)) - 0.5).abs().max() < coarse + 0.1
    points.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("width", [0.1, 0.13, 0.35, 1.0, 2.0])
def test_any_width_builds(width: int) -> None:
    net = Arch(21, width, 32, 32, "direct", depth=0.25).build().eval()
    assert net(torch.zeros(1, 3, 32, 32)).isfinite().all()


def test_no_stairs() -> None:
    prices = [cost(Arch(21, width, 32, 64, "simcc")) for width in (0.25, 0.3, 0.35, 0.4)]
    assert all(a.params < b.params and a.flops < b.flops for a, b in pairwise(prices))


def test_body_is_mobilenet_v3_small() -> None:
    """Against timm's own builder, without squeeze-excitation, whose hidden channels it rounds to eights."""
    rows = [
        ["ds_r1_k3_s2_e1_c16_nre"],
        ["ir_r1_k3_s2_e4.5_c24_nre", "ir_r1_k3_s1_e3.67_c24_nre"],
        ["ir_r1_k5_s2_e4_c40", "ir_r2_k5_s1_e6_c40"],
        ["ir_r2_k5_s1_e3_c48"],
        ["ir_r3_k5_s2_e6_c96"],
        ["cn_r1_k1_s1_c576"],
    ]
    builder = EfficientNetBuilder(act_layer=nn.Hardswish, norm_layer=nn.BatchNorm2d)
    theirs = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(), *builder(16, decode_arch_def(rows))
    )
    ours = Arch(21, 1.0, 32, 64, "direct", squeeze=0.0).build().body
    shapes = [[tuple(p.shape) for p in net.parameters()] for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    with torch.no_grad():
        for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            other.copy_(mine)
        images = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_layers_are_timms() -> None:
    """Weights of networks that were built from timm's layers fit, and give the same."""
    pairs = (
        (
            ConvNormAct(8, 6, 5, 2, groups=2, act=nn.Hardswish),
            layers.ConvNormAct(8, 6, 5, 2, groups=2, act_layer="hard_swish"),
        ),
        (ConvNormAct(8, 6, 1), layers.ConvNormAct(8, 6, 1, apply_act=False)),
        (SqueezeExcite(8, 4), TimmSqueezeExcite(8, rd_channels=4, act_layer="relu", gate_layer="hard_sigmoid")),
    )
    images = torch.randn(2, 8, 9, 9)
    for ours, theirs in pairs:
        ours.load_state_dict(theirs.state_dict())
        assert torch.equal(ours.train()(images), theirs.train()(images))
        assert torch.equal(ours.eval()(images), theirs.eval()(images))


LIGHT = """
import sys
from models.cost import cost
from models.memory import PEAK_ACTIVATION
from models.net import Arch
from models.stages import plan
for head in ("direct", "heatmap", "simcc"):
    arch = Arch(5, 0.1, 32, 32, head)
    assert cost(arch).flops == plan(arch).flops and PEAK_ACTIVATION.measure(arch) > 0
print([name for name in ("timm", "torchvision", "torch._dynamo", "sympy") if name in sys.modules])
"""


def test_counting_and_drawing_need_no_timm() -> None:
    """It would take four seconds more, before a search's first trial and for every table of costs."""
    ran = subprocess.run([sys.executable, "-c", LIGHT], check=True, capture_output=True, text=True)
    assert ran.stdout == "[]\n"


def test_total_stride() -> None:
    images = torch.zeros(1, 3, 160, 160)
    for stride in (16, 32):
        for neck in (0, 64):
            features = Arch(21, 0.2, stride, 160, "direct", neck=neck).build().eval().body(images)
            assert features.shape[2:] == (160 // stride, 160 // stride)


def test_reference_design() -> None:
    """2.008 M parameters and 0.3026 GFLOPs are published."""
    price = cost(REFERENCE)
    assert abs(price.params / 2.008e6 - 1) < 0.04
    assert abs(price.flops / 0.3026e9 - 1) < 0.04


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("width", 0.01, "0.02 to 4"),
        ("size", 31, "a whole number from 32 to 512"),
        ("size", 64.5, "a whole number from 32 to 512"),
        ("stride", 12, "4, 8, 16, 32"),
        ("act", "gelu", "'mixed', 'relu', 'hardswish', 'silu'"),
        ("stem_kernel", 4, "must be the stem's stride"),
        ("branches", 5, "a whole number from 0 to 4"),
        ("head", "box", "'direct', 'heatmap', 'simcc'"),
        ("kernel", 4, "3, 5, 7"),
        ("squeeze", float("nan"), "0.0 to 1.0"),
    ],
)
def test_out_of_range(field: str, value: object, said: str) -> None:
    values = {"points": 21, "width": 1.0, "stride": 16, "size": 64, "head": "simcc", field: value}
    with pytest.raises(ValueError, match=rf"Arch\.{field} is .*{said}"):
        Arch(**values)  # type: ignore[arg-type]


def test_centres() -> None:
    """Cells of 32 pixels across an image of 80: 2.5 of them, and one more at either end."""
    expected = np.array([-16, 16, 48, 80]) / 80
    np.testing.assert_allclose(centres(2.5, torch.zeros(())).numpy(), expected, rtol=1e-6)


def peaked(net: Net, points: Tensor) -> Tensor:
    """Logits that are very sure of `points`, by hand: the mass is shared by the two cells around each coordinate."""
    with torch.no_grad():
        shape = net.logits(torch.zeros(len(points), *net.arch.input_shape)).shape
    span = net.head.span
    at = points * span + 0.5  # in cells, of which the first has its centre at -0.5
    low = at.floor().clamp(0, shape[-1] - 2)
    cells = torch.arange(shape[-1])
    mass = (cells == low[..., None]) * (1 - (at - low))[..., None] + (cells == low[..., None] + 1) * (at - low)[
        ..., None
    ]
    if len(shape) == 4 and shape[2] == 2:
        return (mass + 1e-12).log()
    return (mass[:, :, 1, :, None] * mass[:, :, 0, None, :] + 1e-12).log()


@pytest.mark.parametrize("head", ["heatmap", "simcc"])
@pytest.mark.parametrize(("size", "stride", "upsample"), [(64, 16, 1), (75, 32, 0), (32, 32, 0), (100, 32, 2)])
def test_every_point_of_the_image_can_be_reached(head: str, size: int, stride: int, upsample: int) -> None:
    net = Arch(6, 0.1, stride, size, head, upsample=upsample).build().eval()
    points = torch.tensor([[0, 0], [1, 1], [0, 1], [0.37, 0.81], [0.5, 0.5], [0.999, 0.001]])[None].float()
    torch.testing.assert_close(net.decode(peaked(net, points)), points, atol=2e-4, rtol=0)


def test_a_single_cell_stands_at_its_centre() -> None:
    net = Arch(1, 0.1, 16, 64, "heatmap", upsample=1).build()
    logits = torch.full((1, 1, 10, 10), -100.0)
    logits[0, 0, 3, 6] = 100.0  # row 2, column 5 of the 8 inside
    torch.testing.assert_close(net.decode(logits), torch.tensor([[[5.5 / 8, 2.5 / 8]]]))


@pytest.mark.parametrize("head", HEADS)
def test_forward_is_logits_decoded(head: str) -> None:
    net = Arch(21, 0.2, 16, 48, head).build().eval()
    images = torch.randn(2, 3, 48, 48)
    assert torch.equal(net(images), net.decode(net.logits(images)))


def test_heatmap_divergence_against_brute_force() -> None:
    torch.manual_seed(0)
    net = Arch(3, 0.1, 16, 80, "heatmap", upsample=0).build()
    logits, points = torch.randn(2, 3, 7, 7).double(), torch.rand(2, 3, 2).double()
    total = 0.0
    for heat, point in zip(logits.flatten(0, 1), points.flatten(0, 1), strict=True):
        p = heat.exp() / heat.exp().sum()
        y, x = np.mgrid[-1:6, -1:6] + 0.5
        q = torch.from_numpy(np.exp(-((x - float(point[0]) * 5) ** 2 + (y - float(point[1]) * 5) ** 2) / 2))
        q, m = q / q.sum(), (p + q / q.sum()) / 2
        total += float((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2
    assert float(net.divergence(logits, points)) == pytest.approx(total / 6)


def test_simcc_divergence_against_gaussians() -> None:
    """With fine bins the divergence of discrete Gaussians is that of continuous ones."""
    head = SimCC(1, 1, 1, 1000.0)
    true, wide, off = 0.5, 0.04, 0.45
    logits = Normal(off, wide).log_prob(centres(1000.0, torch.zeros(())))
    answer = head.divergence(logits.expand(1, 1, 2, -1), torch.full((1, 1, 2), true))
    assert float(answer) == pytest.approx(float(kl_divergence(Normal(true, BIN_SIGMA), Normal(off, wide))), rel=1e-3)


@pytest.mark.parametrize("head", ["heatmap", "simcc"])
def test_divergence_falls_to_zero_and_survives_points_outside(head: str) -> None:
    net = Arch(2, 0.1, 16, 64, head).build()
    points = torch.tensor([[[0.4, 0.6], [-0.2, 1.3]], [[5.0, -5.0], [0.0, 1.0]]])
    logits = net.logits(torch.randn(2, 3, 64, 64)).detach().requires_grad_()
    before = net.divergence(logits, points).detach()
    assert 0 < float(before) < (math.log(2) if head == "heatmap" else 20)
    optimizer = torch.optim.Adam([logits], 0.3)
    for _ in range(150):
        loss = net.divergence(logits, points)
        optimizer.zero_grad()
        loss.backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        optimizer.step()
    assert float(loss.detach()) < 0.03 * float(before)
    inside = net.decode(logits)[0, 0]
    assert (inside - points[0, 0]).abs().max() < 0.01


def test_direct_has_no_divergence() -> None:
    net = Arch(2, 0.1, 32, 32, "direct").build()
    assert float(net.divergence(torch.randn(3, 4), torch.rand(3, 2, 2))) == 0


@pytest.mark.parametrize("head", HEADS)
def test_expectations_stay_in_float32(head: str) -> None:
    """bfloat16 keeps 8 bits: an expectation in it would be wrong by a pixel of 224."""
    torch.manual_seed(0)
    arch = Arch(21, 0.2, 16, 64, head)
    net = arch.build().eval()
    images, points = torch.randn(2, *arch.input_shape), torch.rand(2, 21, 2)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net.logits(images)
        answer, divergence = net.decode(logits), net.divergence(logits, points)
        assert logits.dtype == torch.bfloat16
        assert answer.dtype == divergence.dtype == torch.float32
    torch.testing.assert_close(answer, net.decode(logits.float()), rtol=0, atol=1e-6)
    torch.testing.assert_close(divergence, net.divergence(logits.float(), points))


@pytest.mark.parametrize("head", HEADS)
def test_learns(head: str) -> None:
    """Eight pictures of a bright blob are learnt by heart."""
    torch.manual_seed(0)
    points = torch.rand(8, 1, 2)
    axis = (torch.arange(48) + 0.5) / 48
    distance = (axis - points[..., :1])[:, :, None] ** 2 + (axis - points[..., 1:])[:, :, :, None] ** 2
    images = (-distance / 0.02).exp()
    net = Arch(1, 0.2, 16, 48, head, channels=1, depth=0.25, neck=64).build()
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    for step in range(80):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / 80)
        logits = net.logits(images)
        loss = F.l1_loss(net.decode(logits), points) + 0.02 * net.divergence(logits, points)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = (net.decode(logits) - points).norm(dim=-1).detach()
    middle = (points.mean(0) - points).norm(dim=-1)
    assert error.mean() < 0.25 * middle.mean()
