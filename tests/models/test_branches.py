"""Networks whose branches are merged when they are deployed, against timm's, plain networks and fvcore."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d, ConvNormAct
from timm.models.byobnet import LayerFn, MobileOneBlock
from torch import nn

from models.audit import FlopCountAnalysis
from models.cost import cost
from models.fold import fold
from models.net import Arch
from models.network import Branched
from models.stages import plan
from search.config_record import rebuild, record
from search.samplers.candidates import DrawnTrial
from studies import freihand
from tests.models.test_export import trained
from tests.search_bench import wide_hands

SPACES = {"wide": wide_hands.study, "freihand": freihand.study}


def sampled(name: str, seed: int) -> Arch:
    """A network anywhere in a study's space."""
    study = SPACES[name]
    arch = study.space(DrawnTrial(np.random.default_rng(seed), {}), study.task).arch
    assert isinstance(arch, Arch)
    return arch


@pytest.mark.parametrize(
    ("channels", "out", "kernel", "stride", "groups"),
    [(6, 6, 5, 1, 6), (6, 6, 3, 2, 6), (6, 6, 1, 1, 1), (6, 4, 1, 1, 1)],
)
def test_branches_are_mobileones(channels: int, out: int, kernel: int, stride: int, groups: int) -> None:
    """timm's own block with the same weights answers the same, and becomes the same convolution."""
    torch.manual_seed(0)
    ours = Branched(channels, out, kernel, stride, groups, nn.ReLU, 2)
    layers = LayerFn(ConvNormAct, BatchNormAct2d, nn.ReLU, None)
    size = channels // groups if groups > 1 else None
    theirs = MobileOneBlock(channels, out, kernel, stride, group_size=size, num_conv_branches=2, layers=layers)
    kernels = [*theirs.conv_kxk, *([theirs.conv_scale] if theirs.conv_scale is not None else [])]
    for mine, other in zip(ours.branches, [*kernels, theirs.identity], strict=False):
        other.load_state_dict(mine.state_dict(), strict=False)
    assert (theirs.identity is not None) == isinstance(ours.branches[-1], nn.BatchNorm2d)
    images = torch.randn(4, channels, 9, 9)
    torch.testing.assert_close(ours.train()(images), theirs.train()(images))
    theirs.eval().reparameterize()
    merged = ours.eval().merged()
    torch.testing.assert_close(merged.conv.weight, theirs.reparam_conv.weight)
    torch.testing.assert_close(merged.conv.bias, theirs.reparam_conv.bias)
    torch.testing.assert_close(merged(images), ours(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("space", SPACES)
def test_any_network_of_a_space_is_priced_as_it_is_deployed(space: str, seed: int) -> None:
    """fvcore's own count of the folded network, which answers as the one that is trained."""
    torch.manual_seed(seed)
    arch = replace(sampled(space, seed), size=64)
    net = trained(arch.build(), arch.input_shape)
    images = torch.randn(3, *arch.input_shape)
    deployed = fold(net)
    with torch.no_grad():
        answers = net(images)
        scale = max(1.0, float(answers.abs().max()))
        assert float((answers - deployed(images)).abs().max()) < 1e-5 * scale
    assert not [m for m in deployed.modules() if isinstance(m, Branched | nn.BatchNorm2d)]
    price, plain = cost(arch), cost(replace(arch, branches=0))
    counted = FlopCountAnalysis(deployed, images[:1]).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    assert price.flops == counted.total() == plain.flops
    assert price.params == sum(p.numel() for p in deployed.parameters()) == plain.params
    assert price.trained == sum(p.numel() for p in net.parameters())
    assert (price.trained > plain.trained) == (arch.branches > 0)
    drawn = plan(arch)
    assert [(s.kind, s.channels, s.kernel, s.flops) for s in drawn.stages] == [
        (s.kind, s.channels, s.kernel, s.flops) for s in plan(replace(arch, branches=0)).stages
    ]
    assert sum(s.flops for s in drawn.stages) + drawn.decode[1] == price.flops


@pytest.mark.parametrize("head", ["direct", "heatmap", "simcc"])
@pytest.mark.parametrize("stages", [1, 3, 5])
def test_fewer_stages_and_any_stem_and_stride(head: str, stages: int) -> None:
    for stride in (4, 8, 16, 32):
        for stem in ({}, {"stem_kernel": 4, "stem_stride": 4}, {"stem_kernel": 5, "stem_stride": 4, "stem": 8}):
            arch = Arch(5, 0.05, stride, 36, head, stages=stages, pooled=False, **stem)  # type: ignore[arg-type]
            net = arch.build()
            assert net(torch.randn(2, *arch.input_shape)).shape == (2, 5, 2)
            side = net.body(torch.randn(2, *arch.input_shape)).shape[-1]
            assert side >= -(-36 // stride)


def test_by_hand() -> None:
    """Two stages, patches, no expansion: every number of it counted on paper."""
    arch = Arch(
        2, 0.5, 8, 32, "direct", stages=2, stem_kernel=4, stem_stride=4, expansion=0.1, squeeze=0.0, neck=0, branches=1
    )
    # 8 x 8 x 8 patches; depthwise 3 x 3 to 4 x 4 and 8 -> 8; depthwise 3 x 3 and 8 -> 12; mean of 12 x 4 x 4; 12 -> 4
    params = (48 * 8 + 8) + (72 + 8) + (64 + 8) + (72 + 8) + (96 + 12) + (48 + 4)
    flops = 48 * 8 * 64 + 72 * 16 + 64 * 16 + 72 * 16 + 96 * 16 + 12 * 16 + 48
    assert (cost(arch).params, cost(arch).flops) == (params, flops)
    grey = cost(replace(arch, grey=True))  # two of three channels less
    assert (grey.params, grey.flops) == (params - 32 * 8, flops - 32 * 8 * 64)


def test_a_record_names_what_is_new_alone() -> None:
    """Networks of before have the records of before, so that studies begun then go on."""
    config = freihand.study.space(DrawnTrial(np.random.default_rng(0), {}), freihand.study.task)
    older = replace(config, arch=Arch(21, 0.5, 16, 64, "direct"))
    assert set(record(older)["arch"]) == {
        *("class", "points", "width", "stride", "size", "head", "channels", "depth", "expansion", "kernel"),
        *("squeeze", "neck", "upsample", "deconv", "separable", "split"),
    }
    newer = replace(config, arch=replace(older.arch, branches=2, act="silu"))
    assert record(newer)["arch"] == {**record(older)["arch"], "branches": 2, "act": "silu"}
    assert rebuild(record(newer)) == newer
    assert rebuild(record(older)) == older
