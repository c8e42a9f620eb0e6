import re
import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

from models.cost import cost, measure
from models.net import Arch
from models.plan import Plan, Stage
from models.stages import plan, plan_of
from search.results import architecture
from search.results.architecture import svg, wrapped

NS = "{http://www.w3.org/2000/svg}"


def parsed(source: str) -> ET.Element:
    return ET.fromstring(source)  # noqa: S314 - our own


@pytest.fixture(scope="module")
def small() -> Plan:
    return plan(Arch(points=21, width=0.3, stride=16, size=64, head="heatmap", neck=0))


def seen(found: Plan) -> list[tuple[str, int, int, tuple[int, ...], int, bool]]:
    return [(s.kind, s.repeats, s.channels, s.sides, s.kernel, s.squeeze) for s in found.stages]


def test_stages_of_a_heatmap_network_as_its_table_says(small: Plan) -> None:
    # By hand from MobileNetV3-small's table times 0.3, in even numbers: 16, 24, 40, 48, 96 -> 6, 8, 12, 14, 28.
    assert seen(small) == [
        ("convolution", 1, 6, (32, 32), 3, False),
        ("separable convolution", 1, 6, (16, 16), 3, True),  # expansion 1: depthwise, then pointwise
        ("inverted residual", 2, 8, (8, 8), 3, False),
        ("inverted residual", 3, 12, (4, 4), 5, True),  # one with stride 2, two repeats
        ("inverted residual", 2, 14, (4, 4), 5, True),
        ("inverted residual", 3, 28, (4, 4), 5, True),
        ("separable transposed convolution", 1, 38, (10, 10), 4, False),  # 2 x 4 cells and a ring
        ("1 x 1 convolution", 1, 21, (10, 10), 1, False),
    ]
    assert [stage.head for stage in small.stages] == [False] * 6 + [True] * 2
    assert [stage.up for stage in small.stages] == [1] * 6 + [2, 1]
    assert small.answer == (21, 2)
    # Soft-argmax: 21 points x 2 axes x (8 + 2) cells.
    assert small.decode == (0, 420)


@pytest.mark.parametrize(
    ("head", "last"),
    [
        ("direct", ("pooling, linear", 1, 42, (), 0, False)),
        ("simcc", ("linear", 1, 21, (2 * (48 + 2),), 0, False)),
    ],
)
def test_heads_are_what_they_are(head: str, last: tuple[object, ...]) -> None:
    found = plan(Arch(points=21, width=0.1, stride=32, size=48, head=head, neck=96))
    assert seen(found)[-1] == last


def test_a_network_of_others_is_grouped_too() -> None:
    from torchvision.models import resnet18

    network = resnet18(num_classes=10).train()
    found = plan_of(network, measure(network, (3, 224, 224)), (3, 224, 224))
    assert network.training
    assert [(s.kind, s.repeats, s.channels, s.sides) for s in found.stages] == [
        ("convolution", 1, 64, (112, 112)),
        ("basic block", 2, 64, (56, 56)),
        ("basic block", 2, 128, (28, 28)),
        ("basic block", 2, 256, (14, 14)),
        ("basic block", 2, 512, (7, 7)),
        ("pooling, linear", 1, 10, ()),
    ]
    assert found.answer == (10,)
    assert found.stages[1].params == 4 * (64 * 64 * 9 + 2 * 64)  # four convolutions, each with its BatchNorm
    # Max-pooling has no row of its own, yet the halving that it makes is marked: five in all.
    assert svg(found).count(">/2<") == 5


def test_activations_and_shortcuts_are_those_of_the_modules(small: Plan) -> None:
    # MobileNetV3's table: ReLU in the first three rows, then hardswish; the head's layers have ReLU, its maps nothing.
    assert [stage.act for stage in small.stages] == ["hardswish", "ReLU", "ReLU", *["hardswish"] * 3, "ReLU", ""]
    assert [stage.shortcuts for stage in small.stages] == [0, 0, 1, 2, 1, 2, 0, 0]
    net = Arch(points=21, width=0.3, stride=16, size=64, head="heatmap", neck=0).build().eval()
    identities = []
    for block in net.body:  # type: ignore[union-attr]
        seen: list[torch.Tensor] = []
        hook = block.register_forward_hook(lambda _, given, answer, seen=seen: seen.extend([given[0], answer]))
        with torch.no_grad():
            for parameter in block.parameters():
                parameter.zero_()  # all that is left of a block is what it adds
            net(torch.rand(1, 3, 64, 64))
            hook.remove()
        identities.append(seen[0].shape == seen[1].shape and torch.equal(seen[0], seen[1]) and seen[0].any().item())
        with torch.no_grad():
            for parameter in block.parameters():
                parameter.normal_()
    assert sum(identities) == sum(stage.shortcuts for stage in small.stages) == 6
    drawn = [path for path in parsed(svg(small)).iter(f"{NS}path") if path.get("class") == "arch-skip"]
    assert len(drawn) == 4

    from torchvision.models import resnet18

    network = resnet18(num_classes=10)
    others = plan_of(network, measure(network, (3, 64, 64)), (3, 64, 64)).stages
    assert [stage.act for stage in others[1:5]] == ["ReLU"] * 4
    assert [stage.shortcuts for stage in others] == [0, 2, 2, 2, 2, 0]


@pytest.mark.parametrize("head", ["direct", "heatmap", "simcc"])
def test_costs_of_stages_add_up(head: str) -> None:
    arch = Arch(points=21, width=0.2, stride=16, size=80, head=head)
    found, price = plan(arch), cost(arch)
    assert sum(s.params for s in found.stages) + found.decode[0] == price.params
    assert sum(s.flops for s in found.stages) + found.decode[1] == price.flops


def test_too_many_stages_are_put_together() -> None:
    layers: list[nn.Module] = []
    for i in range(30):
        layers += [nn.Conv2d(3 + i, 4 + i, 3, 2 if i in (10, 20) else 1, 1), nn.ReLU()]
    network = nn.Sequential(*layers)
    found = plan_of(network, price := measure(network, (3, 32, 32)), (3, 32, 32), limit=7)
    assert len(found.stages) <= 7
    assert sum(s.repeats for s in found.stages) == 30
    assert sum(s.flops for s in found.stages) == price.flops
    assert {s.sides for s in found.stages} == {(32, 32), (16, 16), (8, 8)}


def test_plan_leaves_torchs_seed_alone() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    plan(Arch(points=5, width=0.1, stride=32, size=32, head="direct"))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("width", [620, 1160])
def test_bars_of_all_stages_add_up_to_the_whole(small: Plan, width: int) -> None:
    root = parsed(svg(small, width=width))

    def widths(kind: str) -> list[float]:
        return [float(rect.get("width", "")) for rect in root.iter(f"{NS}rect") if rect.get("class") == kind]

    (track,) = set(widths("arch-track"))
    assert sum(widths("arch-params")) == pytest.approx(track, abs=0.02)
    assert sum(widths("arch-flops")) == pytest.approx(track, abs=0.02)


def test_every_stage_is_a_column_and_says_its_size(small: Plan) -> None:
    root = parsed(svg(small))
    columns = [group for group in root.iter(f"{NS}g") if group.get("class") == "arch-stage"]
    assert len(columns) == len(small.stages) + 2  # and the input and the answer
    bold = [text.text for text in root.iter(f"{NS}text") if text.get("class") == "arch-strong"]
    assert bold == [
        *(f"{side} \u00d7 {side}" for side in (64, 32, 16, 8, 4, 4, 4, 10, 10)),
        "21 points",
    ]


def many(count: int, name: str = "inverted residual") -> Plan:
    stages = tuple(
        Stage(
            f"body.{i}",
            name,
            1 + i % 4,
            2 ** (4 + i % 8),
            (224 >> i // 5,) * 2,
            3,
            True,
            1,
            False,
            10,
            10,
            "hardswish",
            1,
        )
        for i in range(count)
    )
    return Plan((3, 224, 224), stages, (21, 2), (0, 0), 10 * count, 10 * count)


@pytest.mark.parametrize("count", [1, 5, 12, 20])
@pytest.mark.parametrize("width", [620, 1160])
def test_no_text_covers_another(count: int, width: int) -> None:
    for drawn in (many(count), many(count, "separable transposed convolution")):
        root = parsed(svg(drawn, width=width))
        height = float(root.get("viewBox", "").split()[3])
        boxes = []
        for text in root.iter(f"{NS}text"):
            kind, words = text.get("class", ""), text.text or ""
            assert "\u2026" not in words
            size = {"arch-small": 10.5, "arch-mark": 11}.get(kind, 12)
            wide = 0.55 * size * len(words)
            x, y = float(text.get("x", "")), float(text.get("y", ""))
            left = x - wide / 2 if kind in ("arch-text", "arch-strong", "arch-mark") else x
            boxes.append((left, y - 0.8 * size, left + wide, y + 0.2 * size, words))
        for i, (left, top, right, bottom, words) in enumerate(boxes):
            assert left >= 0, words
            assert right <= width, words
            assert 0 <= top < bottom <= height, words
            for a, b, c, d, other in boxes[:i]:
                assert right <= a or c <= left or bottom <= b or d <= top, (words, other)


def test_boxes_stay_apart_and_inside() -> None:
    root = parsed(svg(many(20)))
    for line in root.iter(f"{NS}polyline"):
        if line.get("class") == "arch-line":
            (x0, _), (x1, _) = (pair.split(",") for pair in line.get("points", "").split())
            assert 0 <= float(x0) < float(x1) <= 1160  # an arrow would turn round between boxes that touch


def test_it_stands_alone(small: Plan) -> None:
    page, paper = svg(small), svg(small, standalone=True)
    for drawn in (page, paper):
        assert not re.search(r"<script|<foreignObject|href|url\(|@import|<image", drawn)
        root = parsed(drawn)
        assert root.find(f"{NS}title") is not None
        assert "inverted residual, 3 times: 12 \u00d7 4 \u00d7 4" in (root.find(f"{NS}desc").text or "")  # type: ignore[union-attr]
        used = {name for element in root.iter() for name in element.get("class", "").split()} - {"arch", "arch-stage"}
        styled = set(re.findall(r"^\.([\w-]+)", root.find(f"{NS}style").text or "", re.MULTILINE))  # type: ignore[union-attr]
        assert used <= styled
    assert "var(--ink, " in page
    assert "var(" not in paper


def test_hostile_names_stay_text() -> None:
    hostile = "</desc><script>alert(1)</script>&\"'"
    stage = Stage("x", hostile, 1, 3, (8, 8), 3, False, 1, False, 1, 1)
    drawn = svg(Plan((3, 8, 8), (stage,), (), (0, 0), 1, 1))
    root = parsed(drawn)
    assert "<script" not in drawn
    assert hostile in (root.find(f"{NS}desc").text or "")  # type: ignore[union-attr]
    assert any((text.text or "").startswith("</desc>") for text in root.iter(f"{NS}text"))


def test_a_page_has_both_layouts(small: Plan) -> None:
    root = parsed(architecture.figure(small))
    assert [(div.get("class"), div[0].get("viewBox", "").split()[2]) for div in root] == [
        ("wide", "1160"),
        ("narrow", "620"),
    ]


def test_wrapping() -> None:
    assert wrapped("inverted residual\u00a0\u00d7\u00a02", 13) == ["inverted", "residual\u00a0\u00d7\u00a02"]
    assert wrapped("convolution\u00a0\u00d7\u00a02", 13) == ["convolution \u00d7", "2"]
    assert wrapped("a" * 20, 13) == ["a" * 12 + "\u2026"]
    assert wrapped("", 13) == []
