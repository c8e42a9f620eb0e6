"""Pre-trained weights: they land where timm's own loader puts them, and nothing is fetched or run."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from models.bodies import Body
from models.net import Arch
from models.pretrained import WeightsError, load_, read

ARCH = Arch(points=3, width=0.1, stride=32, size=32, head="direct")


class Posed(nn.Module):
    """A body of timm's with a head of its own."""

    def __init__(self, body: nn.Module, outputs: int = 7) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(4, outputs)


def trained(name: str = "test_resnet", **options: object) -> nn.Module:
    """A network whose every number is unlike a fresh one's, running statistics too."""
    torch.manual_seed(1)
    net: nn.Module = timm.create_model(name, num_classes=5, **options)
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1)
    return net


def fresh(channels: int = 3, name: str = "test_resnet") -> Posed:
    torch.manual_seed(2)
    return Posed(timm.create_model(name, in_chans=channels, num_classes=0))


def alike(ours: nn.Module, theirs: nn.Module) -> bool:
    state = theirs.state_dict()
    return all(torch.equal(value, state[key]) for key, value in ours.state_dict().items())


@pytest.mark.parametrize("ending", ["safetensors", "pth", "pt", "bin"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_weights_land_by_name_whatever_stands_before_it(tmp_path: Path, ending: str, prefix: str) -> None:
    theirs = trained()
    state = {prefix + key: value for key, value in theirs.state_dict().items()}
    file = tmp_path / f"weights.{ending}"
    if ending == "safetensors":
        save_file(state, file)
    else:
        torch.save({"pth": state, "pt": {"state_dict": state, "epoch": 3}, "bin": {"model": state}}[ending], file)
    net = fresh()
    loaded = load_(net, str(file))
    assert alike(net.body, theirs)
    assert loaded.file == file
    assert loaded.parameters == loaded.body == sum(p.numel() for p in net.body.parameters())
    assert loaded.tensors == len(net.body.state_dict())
    assert loaded.left == ("head.weight", "head.bias")
    assert sorted(loaded.unused) == [f"{prefix}fc.bias", f"{prefix}fc.weight"]
    assert loaded.adapted == ""


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_byobnet"])
@pytest.mark.parametrize("channels", [1, 2, 12])
def test_other_channels_are_taken_as_timm_takes_them(tmp_path: Path, name: str, channels: int) -> None:
    theirs = trained(name)
    file = tmp_path / "weights.safetensors"
    save_file(theirs.state_dict(), file)
    net = fresh(channels, name)
    loaded = load_(net, str(file))
    reference = timm.create_model(
        name, pretrained=True, in_chans=channels, num_classes=0, pretrained_cfg_overlay={"file": str(file)}
    )
    assert alike(net.body, reference)
    assert loaded.adapted.startswith("body.")
    assert net.get_parameter(loaded.adapted).shape[1] == channels


def test_twelve_equal_channels_answer_what_three_did(tmp_path: Path) -> None:
    theirs = trained()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    net = fresh(12)
    load_(net, str(tmp_path / "weights.pth"))
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        features = theirs.eval().forward_features(image)
        repeated = net.body.eval().forward_features(image.repeat(1, 4, 1, 1))
    torch.testing.assert_close(repeated, features, rtol=1e-4, atol=1e-5)


def test_a_network_of_features_finds_the_names_of_the_whole(tmp_path: Path) -> None:
    theirs = trained("test_convnext")
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    net = Posed(timm.create_model("test_convnext", features_only=True))
    loaded = load_(net, str(tmp_path / "weights.pth"))
    assert loaded.parameters == loaded.body
    state = theirs.state_dict()
    assert all(
        torch.equal(value, state[re.sub(r"(stem|stages)_", r"\1.", key)])
        for key, value in net.body.state_dict().items()
    )


@pytest.mark.parametrize(
    "arch",
    [
        Body("test_convnext", 4, "linear", 64, channels=12),
        Body("resnet18", 4, "heatmap", 64, channels=12, upsample=3),
        Body("convnext_atto", 4, "heatmap", 64, upsample=3),
        Body("hrnet_w18_small", 4, "heatmap", (64, 32)),
    ],
    ids=lambda arch: f"{arch.name}-{arch.head}",
)
def test_bodies_find_timms_weights(tmp_path: Path, arch: Body) -> None:
    theirs = trained(arch.name)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    net = arch.build()
    loaded = load_(net, str(tmp_path / "weights.pth"), arch.name)
    assert loaded.parameters == loaded.body == sum(p.numel() for p in net.body.parameters())
    assert not any(name.startswith("body.") for name in loaded.left)
    assert bool(loaded.adapted) == (arch.channels == 12)
    # timm's trained numbers lie in 0.1 to 1, or a quarter of that where 3 channels became 12; fresh ones do not
    assert all(value.min() >= 0.02 for name, value in net.body.state_dict().items() if "num_batches" not in name)


def test_our_own_weights_fit_again_and_a_head_of_another_shape_stays_fresh(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = ARCH.build()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    net = ARCH.build()
    assert load_(net, str(tmp_path / "weights.pth")).left == ()
    assert alike(net, theirs)
    other = Arch(points=5, width=0.1, stride=32, size=32, head="direct").build()
    before = other.head.linear.weight.clone()
    loaded = load_(other, str(tmp_path / "weights.pth"))
    assert loaded.left == loaded.unused == ("head.linear.weight", "head.linear.bias")
    assert alike(other.body, theirs.body)
    assert torch.equal(other.head.linear.weight, before)


def test_halves_become_floats(tmp_path: Path) -> None:
    theirs = trained()
    torch.save({key: value.half() for key, value in theirs.state_dict().items()}, tmp_path / "weights.pth")
    net = fresh(12)
    load_(net, str(tmp_path / "weights.pth"))
    assert {value.dtype for value in net.parameters()} == {torch.float32}


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (os.environ["BOMB"],)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    state = trained().state_dict()
    torch.save({"state_dict": state, "args": Bomb()}, tmp_path / "zip.pth")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Bomb()))
    for file in ("zip.pth", "plain.bin"):
        with pytest.raises(WeightsError, match="could run code"):
            load_(fresh(), str(tmp_path / file))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_an_error(tmp_path: Path, ending: str, share: float) -> None:
    file = tmp_path / f"weights.{ending}"
    state = trained().state_dict()
    save_file(state, file) if ending == "safetensors" else torch.save(state, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match=r"cut off|damaged"):
        load_(fresh(), str(file))


def test_what_is_no_state_dict_is_an_error(tmp_path: Path) -> None:
    for name, what in {"list": [torch.zeros(2)], "numbers": {"epoch": 3}, "tensor": torch.zeros(2)}.items():
        torch.save(what, tmp_path / f"{name}.pth")
        with pytest.raises(WeightsError, match="holds no state dict"):
            read(tmp_path / f"{name}.pth")
    with pytest.raises(WeightsError, match="there are no weights at"):
        read(tmp_path / "missing.pth")
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(WeightsError, match="there are no weights at"):
        read(tmp_path / "folder.pth")
    with pytest.raises(WeightsError, match=r"end in \.safetensors"):
        read(tmp_path / "weights.npz")


def test_another_architecture_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    torch.save(trained("test_byobnet").state_dict(), tmp_path / "weights.pth")
    net = fresh()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(WeightsError, match=r"fits only [\d,]+ of the [\d,]+ .* none for body\.\S+, .* and \d+ more"):
        load_(net, str(tmp_path / "weights.pth"))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    theirs = trained()
    theirs.state_dict()["layer1.0.conv1.weight"][0] = torch.nan
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"not finite in layer1\.0\.conv1\.weight"):
        load_(fresh(), str(tmp_path / "weights.pth"))


OFFLINE = """
import sys, timm, warnings
from models.pretrained import WeightsError, load_
net = timm.create_model("resnet18", num_classes=0)
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(("socket.", "urllib.")) else None)
try:
    print("loaded", load_(net, "timm", "resnet18").parameters)
except WeightsError as error:
    print(error)
print("events", seen)
"""


def test_without_a_cache_no_socket_is_opened_and_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
    environment |= {"HF_HOME": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch"), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", OFFLINE], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "timm's weights of resnet18 are not on this machine" in ran.stdout
    assert "hf download timm/resnet18.a1_in1k model.safetensors" in ran.stdout
    assert "--weights FILE" in ran.stdout
    assert ran.stdout.endswith("events []\n")


@pytest.mark.parametrize("where", ["hf", "torch"])
def test_what_a_cache_holds_is_taken(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))  # HF_HOME is read on import
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    theirs = timm.create_model("resnet18")
    if where == "hf":
        repository = tmp_path / "hub" / "models--timm--resnet18.a1_in1k"
        folder = repository / "snapshots" / "abc"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("abc")
        file = folder / "model.safetensors"
    else:
        folder = tmp_path / "torch" / "hub" / "checkpoints"
        file = folder / Path(theirs.pretrained_cfg["url"]).name
    folder.mkdir(parents=True)
    save_file(theirs.state_dict(), file) if where == "hf" else torch.save(theirs.state_dict(), file)
    net = Posed(timm.create_model("resnet18", num_classes=0))
    for name in ("resnet18", "resnet18.a1_in1k"):
        loaded = load_(net, "timm", name)
        assert loaded.file == file
        assert loaded.parameters == sum(p.numel() for key, p in theirs.named_parameters() if not key.startswith("fc."))
    assert alike(net.body, theirs)


def test_names_that_timm_has_no_weights_for() -> None:
    with pytest.raises(WeightsError, match="timm has no weights for 'resnet51'"):
        load_(fresh(), "timm", "resnet51")
    with pytest.raises(WeightsError, match="none of its"):
        load_(ARCH.build(), "timm")
