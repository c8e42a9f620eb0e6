"""The ONNX file against the network that it was written from."""

from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from onnxruntime import InferenceSession
from torch import Tensor, nn

from data.errors import UserError
from models import export
from models.net import Arch
from search.cli import submit


def trained(net: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A network as if trained: statistics of its own signals, weights and biases that all matter."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0, 0.2)
            module.momentum = None  # the statistics become the mean of the batches seen
        elif isinstance(module, nn.Conv2d | nn.Linear) and module.weight.std() < 0.02:
            nn.init.normal_(module.weight, 0, 0.2)
    with torch.no_grad():
        net.train()(torch.randn(16, *shape))
    return net.eval()


def test_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arch = Arch(3, 0.2, 32, 40, "simcc", depth=0.25, neck=0)
    net = trained(arch.build(), arch.input_shape)
    file = tmp_path / "net.onnx"
    exported = export.onnx(net, arch.input_shape, file)
    assert 0 <= exported.difference < 1e-5
    assert exported.opset >= 18
    assert list(tmp_path.iterdir()) == [file]
    images = torch.randn(5, *arch.input_shape)
    (answered,) = ReferenceEvaluator(str(file)).run(None, {"images": images.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(answered), net(images), atol=1e-5)
        assert float((net(images)[0] - net(images)[1]).abs().max()) > 1e-3

    # An exporter that writes another network's file is found out, and what was there stays.
    before = file.read_bytes()
    other = trained(arch.build(), arch.input_shape)
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **_: Path(args[2]).write_bytes(before))
    with pytest.raises(export.ExportError, match=r"would answer 0\.\d+ beside the network, more than 0\.0001"):
        export.onnx(other, arch.input_shape, file)
    assert [(found, found.read_bytes()) for found in tmp_path.iterdir()] == [(file, before)]


class GroupedTransposed(nn.Module):
    """What a separable heatmap head has; onnx's own reference evaluator gets it wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(6, 6, 4, 2, padding=1, groups=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


def test_grouped_transposed_convolutions_in_a_folder_that_is_made(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = GroupedTransposed().eval()
    file = tmp_path / "new" / "folder" / "net.onnx"
    assert export.onnx(net, (6, 5, 7), file).difference < 1e-5
    for batch in (1, 2, 9):
        images = torch.randn(batch, 6, 5, 7)
        (answered,) = export.session(file).run(None, {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(answered), net(images).detach(), rtol=1e-4, atol=1e-5)


def test_a_path_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file/net\.onnx \(.+\); give another path\.$"):
        export.onnx(GroupedTransposed(), (6, 5, 7), tmp_path / "file" / "net.onnx")


def test_the_command_makes_the_folder_and_says_the_opset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arch = Arch(3, 0.2, 32, 40, "simcc", depth=0.25, neck=0)
    net = trained(arch.build(), arch.input_shape)
    model = SimpleNamespace(net=net, config=SimpleNamespace(arch=arch))
    monkeypatch.setattr("search.after.model.read", lambda _: None)
    monkeypatch.setattr("search.after.model.load", lambda *_: model)
    file = tmp_path / "new" / "net.onnx"
    submit.export(tmp_path, file)
    (opset,) = {entry.version for entry in onnx.load(file).opset_import if entry.domain in ("", "ai.onnx")}
    assert capsys.readouterr().out.strip().endswith(f"opset {opset}")
    for batch in (1, 5):
        images = torch.randn(batch, *arch.input_shape)
        (answered,) = InferenceSession(file).run(None, {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(answered), net(images).detach(), rtol=1e-4, atol=1e-5)
