"""A trial's recorded network: what is read is what was counted and drawn, and nothing else is taken for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.cost import cost
from models.net import Arch
from models.stages import plan
from search.results import network

ARCH = Arch(5, 0.1, 32, 32, "heatmap", depth=0.25)


def test_what_is_read_is_what_was_counted_and_drawn(tmp_path: Path) -> None:
    network.save(tmp_path, 7, ARCH)
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.json")] == ["networks/000007.json"]
    found = network.load(tmp_path, 7, repr(ARCH))
    assert found is not None
    assert found == network.load(tmp_path, 7) == network.record(7, ARCH)
    assert found.cost == cost(ARCH)
    assert found.plan == plan(ARCH)
    assert sum(layer.flops for layer in found.cost.layers) == found.cost.flops == found.plan.flops


@pytest.mark.parametrize("damage", ["missing", "cut", "bytes", "list", "field"])
def test_what_is_missing_or_malformed_is_none(tmp_path: Path, damage: str) -> None:
    network.save(tmp_path, 7, ARCH)
    file = network.file_of(tmp_path, 7)
    whole = json.loads(file.read_text())
    del whole["cost"]["layers"][0]["flops"]
    contents = {"cut": file.read_bytes()[:-9], "bytes": b"\xff\x00", "list": b"[]", "field": json.dumps(whole).encode()}
    file.unlink() if damage == "missing" else file.write_bytes(contents[damage])
    assert network.load(tmp_path, 7) is None


def test_another_network_is_none(tmp_path: Path) -> None:
    network.save(tmp_path, 7, ARCH)
    assert network.load(tmp_path, 7, repr(Arch(5, 0.2, 32, 32, "heatmap"))) is None
    network.file_of(tmp_path, 7).rename(network.file_of(tmp_path, 8))
    assert network.load(tmp_path, 8) is None


READS = """
import sys
from pathlib import Path
import models.bodies, models.latency, models.memory, models.net, models.regnet
from search.results import network
print(network.load(Path(sys.argv[1]), 7).cost.flops)
print([name for name in ("torch", "torchvision", "timm", "sklearn", "ray", "pandas", "scipy") if name in sys.modules])
"""


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    network.save(tmp_path, 7, ARCH)
    ran = subprocess.run([sys.executable, "-c", READS, str(tmp_path)], check=True, capture_output=True, text=True)
    assert ran.stdout == f"{cost(ARCH).flops}\n[]\n"
