"""Counting against other people's numbers, torch's own counter, and networks made to slip through."""

import time
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.utils.flop_counter import FlopCounterMode

from models.audit import FlopCountAnalysis
from models.bodies import Body
from models.cost import cost, measure
from models.fold import fold
from models.net import Arch
from models.plan import Cost, CostError


def totals(table: Cost) -> tuple[int, ...]:
    return tuple(sum(getattr(row, c) for row in table.layers) for c in ("params", "buffers", "flops"))


def vgg() -> nn.Sequential:
    """The course's network: eight 3 x 3 convolutions with bias and BatchNorm, poolings, one linear layer."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 128, 0, 128, 128, 256, 0, 512, 0, 512, 512):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.MaxPool2d(4), nn.Flatten(), nn.Linear(512, 100))


def test_course_table() -> None:
    raw = measure(vgg(), (3, 32, 32))
    assert raw.params == 6_621_540
    assert raw.params + raw.buffers == 6_626_020
    assert raw.flops_m == 379_684_864
    assert raw.flops_ma == 759_369_728
    assert raw.flops == 380_061_696
    assert totals(raw) == (raw.params, raw.buffers, raw.flops)
    deployed = measure(fold(vgg()), (3, 32, 32))
    norms = 2 * 376_832  # fvcore's two an element, gone
    assert deployed.flops == deployed.flops_m == raw.flops - norms
    assert deployed.params == raw.params - raw.buffers  # scale and shift went into weights and biases that were there
    assert {row.type for row in deployed.layers} == {"Conv2d", "Linear"}


def test_rows() -> None:
    rows = {row.name: row for row in measure(vgg(), (3, 32, 32)).layers}
    first, norm, last = rows["0"], rows["1"], rows["29"]
    assert (first.type, first.output, first.params) == ("Conv2d", (1, 64, 32, 32), 64 * 27 + 64)
    assert (first.flops, first.flops_m, first.flops_ma) == (1_769_472, 1_769_472, 3_538_944)
    assert (norm.type, norm.output, norm.params, norm.buffers) == ("BatchNorm2d", (1, 64, 32, 32), 128, 128)
    assert (norm.flops, norm.flops_m, norm.flops_ma) == (131_072, 65_536, 131_072)
    assert (last.output, last.params, last.flops) == ((1, 100), 51_300, 51_200)


@pytest.mark.parametrize(
    ("name", "params", "macs", "raw"),
    [("regnetx_002", 2.685, 0.19904, 0.20338), ("regnetx_004", 5.158, 0.39768, 0.40398)],
)
def test_regnet(name: str, params: float, macs: float, raw: float) -> None:
    net = timm.create_model(name)
    plain = measure(net, (3, 224, 224))
    assert round(plain.params / 1e6, 3) == params
    assert round(plain.flops / 1e9, 5) == raw
    deployed = measure(fold(net), (3, 224, 224))
    products = sum(row.flops for row in deployed.layers if row.type in {"Conv2d", "Linear"})
    assert round(products / 1e9, 5) == macs
    pooled = net.num_features * 7 * 7  # fvcore counts them too; printed tables do not
    assert deployed.flops == products + pooled


ARCHS = [
    Arch(21, 0.1, 32, 32, "heatmap", upsample=0),
    Arch(21, 0.35, 16, 97, "heatmap", upsample=2),
    Arch(17, 0.5, 16, 64, "heatmap", separable=False, squeeze=0, neck=0),
    Arch(21, 0.25, 32, 75, "simcc", split=2.0, kernel=3),
    Arch(5, 0.8, 16, 50, "simcc", depth=0.5, channels=1),
    Arch(68, 0.15, 32, 64, "direct", expansion=0.5),
]


@pytest.mark.parametrize("arch", ARCHS, ids=str)
def test_agrees_with_torch(arch: Arch) -> None:
    net = arch.build().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, *arch.input_shape))
    price = cost(arch)
    pooled = sum(row.flops for row in price.layers if row.type == "AdaptiveAvgPool2d")
    assert price.flops == counter.get_total_flops() // 2 + pooled
    assert (pooled > 0) == (arch.head == "direct")
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    folded = sum(m.num_features for m in norms)  # scale and shift become one bias
    assert price.params == sum(p.numel() for p in net.parameters()) - folded
    assert price.flops == price.flops_m
    assert totals(price) == (price.params, 0, price.flops)


def test_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    net = vgg().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    measure(net, (3, 32, 32))
    cost(Arch(21, 0.3, 32, 40, "direct"))
    assert torch.equal(torch.rand(1), expected)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not caplog.records


def test_quick() -> None:
    cost(Arch(21, 0.5, 16, 224, "heatmap"))  # the first call imports
    start = time.process_time()
    for width in (0.55, 0.6):
        cost(Arch(21, width, 16, 224, "heatmap"))
    assert (time.process_time() - start) / 2 < 0.6  # about 0.2 on an idle core; another may share it


def test_known_once() -> None:
    assert cost(Arch(21, 0.3, 32, 40, "direct")) is cost(Arch(21, 0.3, 32, 40, "direct"))


class Slip(nn.Module):
    """A convolution, and then whatever the test thinks nobody will notice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.register_buffer("table", torch.randn(4, 4))
        self.plain = torch.randn(4, 4)
        self.spare = nn.Linear(4, 4)

    def tokens(self, x: Tensor) -> Tensor:
        """(B, N, 4)."""
        return self.conv(x).flatten(2).transpose(1, 2)

    def used(self, x: Tensor) -> Tensor:
        """Everything that is meant to be counted, used."""
        return self.spare(F.linear(self.tokens(x), self.weight))


class Attention(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return F.scaled_dot_product_attention(q, q, q)


class Einsum(Slip):
    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bnc,bmc->bnm", self.used(x), self.used(x))


class OuterProduct(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return (q[:, :, None] * q[:, None]).mean(-1)


class WrittenWeights(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.spare(self.tokens(x))
        hidden = torch.zeros_like(q)
        hidden[:, :4].add_(self.weight)
        return q * hidden


class CopiedWeights(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        hidden = torch.zeros_like(q)
        hidden[:, :4] = self.weight
        return q * hidden


class ProductIntoView(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        hidden = torch.zeros_like(q)
        hidden[:, :].add_(q * q.flip(1))
        return hidden.sum(-1)


class SquareOfView(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x) + 1
        q[:, :].square_()
        return q.sum(-1)


class ScaledView(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x) + 1
        q[:, :].mul_(self.weight[0])
        return q


class BufferScale(Slip):
    def forward(self, x: Tensor) -> Tensor:
        return self.used(x) * self.table[0]


class BufferWeights(Slip):
    def forward(self, x: Tensor) -> Tensor:
        return self.used(x) @ self.table


class ConstantWeights(Slip):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.used(x), self.plain)


class Broadcast(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return torch.matmul(q, q.reshape(4, -1, 4).transpose(1, 2))  # fvcore forgets that q is repeated


class SharedBeforeBuffer(Slip):
    """A weight under two names must not shift which graph input is which."""

    def __init__(self) -> None:
        super().__init__()
        self.spare.bias = self.conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x) @ self.table


class Gathered(Slip):
    def forward(self, x: Tensor) -> Tensor:
        return self.used(x) + F.embedding(torch.zeros(1, dtype=torch.long), self.table)


class Recurrent(Slip):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(self.used(x))[0]


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # noqa: ARG004
        return x * 2

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient * 2


class OwnFunction(Slip):
    def forward(self, x: Tensor) -> Tensor:
        return Double.apply(self.used(x))


class Unused(Slip):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.tokens(x), self.weight)


class Detached(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = F.linear(self.tokens(x), self.weight)
        return q + self.spare(q).detach()


class TimesZero(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = F.linear(self.tokens(x), self.weight)
        return q + 0 * self.spare(q)


class NoGradient(Slip):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.used(x)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Attention, "nobody counts aten::scaled_dot_product_attention"),
        (Einsum, "nobody counts aten::einsum"),
        (OuterProduct, "aten::mul of shapes .* is a matrix product by hand"),
        (ProductIntoView, "a product is written into a view by aten::add_"),
        (SquareOfView, "a product is written into a view by aten::square_"),
        (ScaledView, "weight is written into a view by aten::mul_"),
        (BufferScale, "table is used as a weight by aten::mul"),
        (WrittenWeights, "weight is written into a view by aten::add_"),
        (CopiedWeights, "nobody counts aten::copy_"),
        (BufferWeights, "table is used as a weight by aten::matmul"),
        (SharedBeforeBuffer, "^table is used as a weight by aten::matmul"),
        (ConstantWeights, "a constant tensor is used as a weight by aten::linear"),
        (Broadcast, "fvcore finds .* multiply-adds, torch finds"),
        (Gathered, "nobody counts aten::embedding"),
        (Recurrent, "nobody counts .*aten::lstm"),
        (OwnFunction, "nobody counts .*Double"),
        (Unused, "no output depends on spare.bias and spare.weight"),
        (Detached, "no output depends on spare.bias and spare.weight"),
        (TimesZero, "no output depends on spare.bias and spare.weight"),
        (NoGradient, "no output depends on conv.bias"),
    ],
)
def test_nothing_slips_through(kind: type[Slip], said: str) -> None:
    with pytest.raises(CostError, match=said):
        measure(kind(), (3, 4, 4))


def test_gates_of_a_deep_network_of_merged_branches_are_used() -> None:
    """Its numbers grow from block to block; with these seeds no gate of the last block was ever between its ends."""
    sizes: dict[str, Any] = {"width": 0.5, "stride": 32, "size": 64, "stages": 7, "stem": 16, "early_kernel": 5}
    arch = Arch(points=21, head="simcc", squeeze=0.25, branches=2, split=0.125, act="relu", neck=0, grey=True, **sizes)
    for seed in (5, 18, 23, 35):
        torch.manual_seed(seed)
        measure(fold(arch.build()), arch.input_shape)


class Plain(Slip):
    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class ProductSum(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return (q * q.flip(1)).sum(-1)


class ElementWeights(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.spare(self.tokens(x))
        return q * self.weight[0] + q.flip(1) * self.weight[1] + q.flip(2) * self.weight[2:].sum(0)


class Scale(Slip):
    def forward(self, x: Tensor) -> Tensor:
        return self.used(x) * self.weight[0] / self.weight[1, 1]


class Gate(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return q * q.mean(1, keepdim=True).sigmoid()


class GateThenSum(Slip):
    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return (q * q.mean(1, keepdim=True).sigmoid()).mean(1)


class Hidden(Slip):
    """A product is still one after clamping that does nothing, and after a bias."""

    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return ((q * q.flip(1)).clamp(min=-1e9) * 0.5 + 1).reshape(1, -1, 2, 2).sum((2, 3))


class Polarised(Slip):
    """(a + b)^2 has the product 2 a b in it."""

    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return (q + q.flip(1)).square().sum(-1)


class ExpandedProduct(Slip):
    """All tokens with all: q q' by hand, in equal shapes."""

    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return (q[:, :, None].expand(1, 16, 16, 4) * q[:, None].expand(1, 16, 16, 4)).sum(-1)


class SlicedProduct(Slip):
    """The same, and the sum by slices."""

    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        p = q[:, :, None].expand(1, 16, 16, 4) * q[:, None].expand(1, 16, 16, 4)
        return p[..., 0] + p[..., 1] + (p[..., 2] - p[..., 3])


class ScalarSlices(Slip):
    """A matrix times a vector, number by number."""

    def forward(self, x: Tensor) -> Tensor:
        q = self.used(x)
        return q[0, 0, 0] * q[..., 0] + q[0, 0, 1] * q[..., 1] + q[0, 0, 2] * q[..., 2] + q[0, 0, 3] * q[..., 3]


@pytest.mark.parametrize(
    ("kind", "beyond", "adds"),
    [
        (Plain, 0, 0),
        (Gate, 0, 0),  # as in squeeze-excitation
        (Scale, 2 * 64, 0),
        (ProductSum, 64, 64),
        (GateThenSum, 64, 64),
        (Hidden, 64, 64),
        (Polarised, 64, 64),
        (ExpandedProduct, 16 * 16 * 4, 16 * 16 * 4),
        (SlicedProduct, 16 * 16 * 4, 16 * 16 * 4),
        (ScalarSlices, 16 * 4, 16 * 4),
    ],
)
def test_counted_beyond_fvcore(kind: type[Slip], beyond: int, adds: int) -> None:
    """16 tokens of 4 numbers; M + A has a multiply and an add for each product of a sum, and a multiply for a scale."""
    plain, price = measure(Plain(), (3, 4, 4)), measure(kind(), (3, 4, 4))
    assert plain.flops == 16 * (3 * 4 + 4 * 4 + 4 * 4)
    assert price.flops - plain.flops == price.flops_m - plain.flops_m == beyond
    assert price.flops_ma - plain.flops_ma == beyond + adds
    assert totals(price) == (price.params, price.buffers, price.flops)


def test_weights_of_elements_are_counted() -> None:
    """A convolution by hand, a weight an element: as many multiplies as the convolution has."""
    price = measure(ElementWeights(), (3, 4, 4))
    assert price.flops == 16 * (3 * 4 + 4 * 4) + 3 * 16 * 4


@pytest.mark.parametrize(
    ("name", "beyond"),
    [
        # two blocks a stage, six in the third; each scales its channels at every place: maps of 16, 8, 4 and 2
        ("convnext_atto", 2 * 40 * 256 + 2 * 80 * 64 + 6 * 160 * 16 + 2 * 320 * 4),
        # one block a stage, its split attention before its pooling: both halves at every place
        ("resnest14d", 2 * (64 * 256 + 128 * 256 + 256 * 64 + 512 * 16)),
        ("regnety_002", 0),
        ("mobilenetv3_small_050", 0),
        ("hrnet_w18_small", 0),
    ],
)
def test_bodies_beyond_fvcore(name: str, beyond: int) -> None:
    """fvcore alone says the same, less what is counted beyond it."""
    arch = Body(name, 10, "linear", 64)
    alone = FlopCountAnalysis(fold(arch.build()), torch.zeros(1, *arch.input_shape))
    alone.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    with torch.no_grad():
        fvcores = int(alone.total())
    assert cost(arch).flops == fvcores + beyond


def test_trained_is_what_papers_print() -> None:
    arch = Arch(21, 0.3, 32, 40, "direct")
    built = arch.build()
    assert cost(arch).trained == measure(built, arch.input_shape).params == sum(p.numel() for p in built.parameters())
    assert cost(arch).params == measure(fold(built), arch.input_shape).trained < cost(arch).trained


class Honest(Slip):
    """The same module twice, the same weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = nn.Linear(4, 4)
        self.twin.weight = self.spare.weight

    def forward(self, x: Tensor) -> Tensor:
        q = self.spare(self.spare(self.twin(self.used(x))))
        return q + self.table.to(torch.int64).size(0)


def test_calls_count_twice_and_shared_weights_once() -> None:
    price = measure(Honest(), (3, 4, 4))
    tokens = 16
    rows = {row.name: row for row in price.layers}
    assert rows["spare"].flops == 3 * tokens * 16  # three calls
    assert rows[""].flops == tokens * 16  # F.linear stands where it is called
    assert rows["twin"].flops == tokens * 16
    assert rows["spare"].params == 20
    assert rows["twin"].params == 4  # its weight stands with spare
    assert price.params == (3 * 4 + 4) + 16 + 20 + 4
    assert totals(price)[0] == price.params
    assert price.flops == 5 * tokens * 16 + tokens * 12


class Odd(nn.Module):
    """Convolutions of every kind whose BatchNorm folds, and one of each kind that must not."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.ModuleList(
            nn.Sequential(conv, nn.Dropout(), nn.BatchNorm2d(8, affine=affine))
            for conv, affine in [
                (nn.Conv2d(8, 8, 3, padding=1), True),
                (nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False), False),
                (nn.ConvTranspose2d(8, 8, 3, padding=1), True),
                (nn.ConvTranspose2d(8, 8, 3, padding=1, groups=8, bias=False), True),
                (nn.ConvTranspose2d(8, 8, 3, padding=1, groups=2), False),
            ]
        )
        self.read_twice, self.called_twice = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.free = nn.Conv2d(8, 8, 1)
        self.kept = nn.ModuleList(nn.BatchNorm2d(8, track_running_stats=i < 3) for i in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.fine:
            x = block(x)
        y = self.read_twice(x)
        x = y + self.kept[0](y)
        x = self.kept[1](self.called_twice(x)) + self.kept[2](self.called_twice(x.relu()))
        return self.kept[3](self.free(x))


def scramble(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.bias):
                if value is not None:
                    nn.init.normal_(value)
            for value in (module.running_var, module.weight):
                if value is not None:
                    nn.init.uniform_(value, 0.3, 3)


@pytest.mark.parametrize("arch", ARCHS, ids=str)
def test_fold_gives_the_same(arch: Arch) -> None:
    torch.manual_seed(0)
    net = arch.build().double()
    scramble(net)
    deployed = fold(net)
    images = torch.randn(2, *arch.input_shape, dtype=torch.float64)
    torch.testing.assert_close(deployed(images), net.eval()(images), rtol=1e-9, atol=1e-9)
    assert not [m for m in deployed.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not deployed.training
    assert deployed.logits(images).shape == net.logits(images).shape  # still a Net


def test_fold_what_can_be_folded() -> None:
    torch.manual_seed(0)
    net = Odd().double()
    scramble(net)
    deployed = fold(net)
    images = torch.randn(3, 8, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(deployed(images), net.eval()(images), rtol=1e-10, atol=1e-10)
    left = [name for name, module in deployed.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert left == ["kept.0", "kept.1", "kept.2", "kept.3"]
