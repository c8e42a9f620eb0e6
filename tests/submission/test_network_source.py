"""The written network against the one it was written from, where neither timm nor this project can be imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional

from data.transforms.warp import inputs
from models.cost import cost
from models.fold import fold
from models.net import Arch
from search.submission.notebook.network_source import source, weights
from search.submission.notebook.python_source import embed
from tests.models.test_export import trained

RUNNER = """
import importlib.abc, json, sys, warnings
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("timm", "fvcore", "torchvision", "models", "search", "data", "studies"):
            raise ImportError(name + " is not needed")
sys.meta_path.insert(0, Refuse())
warnings.simplefilter("error")
import torch
found = {}
for case in sys.argv[1:]:
    names = {}
    exec(compile(open(case + ".py").read(), case, "exec"), names)
    net = names["Net"]()
    net.load_state_dict(torch.load(case + ".pth", weights_only=True))
    images, answers = torch.load(case + ".data", weights_only=True)
    with torch.no_grad():
        apart = float((net.eval()(images) - answers).abs().max())
    found[case] = [apart, sum(p.numel() for p in net.parameters())]
print(json.dumps(found))
"""
ARCHS = {
    "direct": Arch(21, 0.25, 16, 72, "direct"),
    "direct_plain": Arch(3, 0.3, 32, 64, "direct", channels=1, squeeze=0.0, neck=0, depth=0.5),
    "heatmap": Arch(21, 0.2, 16, 72, "heatmap", upsample=2),
    "heatmap_dense": Arch(5, 0.2, 32, 50, "heatmap", upsample=0, separable=False, deconv=32),
    "simcc": Arch(21, 0.2, 32, 100, "simcc", split=0.5),
    "branched": Arch(
        21,
        0.2,
        16,
        64,
        "direct",
        stages=5,
        stem_kernel=4,
        stem_stride=4,
        act="silu",
        branches=2,
        pooled=False,
        grey=True,
    ),
}
TIMM = ("regnetx_002", "mobilenetv3_small_050")


def test_answers_and_params_without_timm_and_the_project(tmp_path: Path) -> None:
    torch.manual_seed(0)
    nets = {name: (arch.build(), arch.input_shape) for name, arch in ARCHS.items()}
    nets |= {name: (timm.create_model(name, num_classes=42), (3, 64, 64)) for name in TIMM}
    scales = {}
    for name, (net, shape) in nets.items():
        trained(net, shape)
        before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
        (tmp_path / f"{name}.py").write_text(source(net, shape))
        torch.save(weights(net), tmp_path / f"{name}.pth")
        images = torch.randn(3, *shape)
        with torch.no_grad():
            answers = net(images)
        torch.save((images, answers), tmp_path / f"{name}.data")
        scales[name] = max(1.0, float(answers.abs().max()))
        assert float((answers[0] - answers[1]).abs().max()) > 1e-3, name  # it looks at its images
        assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())
    ran = subprocess.run(
        [sys.executable, "-I", "-c", RUNNER, *nets], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    found = json.loads(ran.stdout)
    assert list(found) == list(nets)
    for name, (apart, params) in found.items():
        assert apart <= 1e-5 * scales[name], name
        assert params == (
            cost(ARCHS[name]).params if name in ARCHS else sum(p.numel() for p in fold(nets[name][0]).parameters())
        )


def test_the_text_reads_well() -> None:
    arch = ARCHS["heatmap"]
    text = source(arch.build(), arch.input_shape)
    assert max(map(len, text.splitlines())) <= 120
    assert "        self.conv1 = nn.Conv2d(3, 4, 3, stride=2, padding=1)\n" in text
    assert "        # body.0: 4 x 36 x 36\n        x = F.hardswish(self.conv1(images))\n" in text
    assert "x = x * F.hardsigmoid(self.conv4(gate))\n" in text
    assert text.endswith("return expectation(torch.stack([x.sum(2), x.sum(3)], dim=2), 18.0)\n")


class Odd(nn.Module):
    """A BatchNorm that nothing is folded into, in-place work on a value that is read again, a stored tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = BatchNormAct2d(4, act_layer="silu")
        self.relu = nn.ReLU(inplace=True)
        self.mix = nn.Conv2d(4, 4, (3, 1), padding=(1, 0), bias=False, padding_mode="reflect")
        self.gamma = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 3.0]))
        self.register_buffer("shift", torch.arange(4.0))
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(self.norm(x))
        z = self.relu(y)
        y = y - 2 * (z + 1) / 3  # y is what the ReLU left of it
        torch._assert(y.shape[1] == 4, "four channels")
        first, second = y.chunk(2, dim=1)
        y = torch.cat([second.flip(-1), -first], dim=1)[..., 1:]
        return self.drop(functional.leaky_relu((y.mean((2, 3)) - self.shift) * self.gamma, 0.2, inplace=True))


class Shared(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


def test_operations_that_are_easy_to_get_wrong() -> None:
    torch.manual_seed(0)
    net = trained(Odd(), (4, 6, 6))
    names: dict[str, type[nn.Module]] = {}
    exec(source(net), names)  # noqa: S102 - it is our own
    written = names["Net"]()
    written.load_state_dict(weights(net))
    images = torch.randn(2, 4, 6, 6)
    assert torch.allclose(written.eval()(images), net(images), atol=1e-6)


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="b and a share weight"):
        source(Shared())
    with pytest.raises(ValueError, match=r"no class of torch\.nn"):
        source(torch.nn.utils.parametrizations.weight_norm(nn.Sequential(nn.Linear(2, 2))[0]))


def test_functions_bring_what_they_use() -> None:
    names: dict[str, object] = {}
    exec(embed(inputs), names)  # noqa: S102 - it is our own
    images = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    written = names["inputs"]
    assert callable(written)
    assert written is not inputs
    assert torch.equal(written(images, 72), inputs(images, 72))
    with pytest.raises(ValueError, match=r"ARCHS = .* has neither source nor literal"):
        embed(test_the_text_reads_well)
    with pytest.raises(ValueError, match="Arch is decorated by dataclass"):
        embed(Arch)
    given: dict[str, object] = {"torch": torch}
    assert "import torch" not in embed(inputs, given=given)
    assert embed(inputs, given=given) == ""
