"""Tables of networks against the files that they are read from, and against prices by hand and by models.cost."""

import csv
import dataclasses
import gzip
import json
import math
from pathlib import Path

import pytest
from optuna.trial import FixedTrial

from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from models.cost import cost
from search.study import replay
from tests.search_bench import drawn_hands
from tests.search_bench.record import configurations, curve
from tests.search_bench.tables import LCBench, Naap, Recorded, value

FILE = Path(__file__).parent / "drawn_hands.csv.gz"
TABLE = Recorded(FILE)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with gzip.open(FILE, "rt", newline="") as file:
        return list(csv.DictReader(file))


def test_every_configuration_is_there_with_its_price(rows: list[dict[str, str]]) -> None:
    every = configurations(drawn_hands.study)
    first = {int(row["configuration"]): row for row in rows if row["epoch"] == "1" and row["seed"] == "0"}
    assert sorted(first) == list(range(len(every))) == list(range(216))
    for index, params in enumerate(every):
        assert {name: str(params[name]) for name in params} == {name: first[index][name] for name in params}
    for index in (0, 50, 215):
        counted = cost(replay(drawn_hands.study, every[index])[0].arch)
        assert float(first[index]["params_m"]) == pytest.approx(counted.params / 1e6, rel=1e-5)
        assert float(first[index]["gflops"]) == pytest.approx(counted.flops / 1e9, rel=1e-5)


def test_a_sample_is_a_row(rows: list[dict[str, str]]) -> None:
    params = {"head": "simcc", "lr": 1, "size": 2, "stride": 0, "width": 3}  # numbers by their place in the order
    wanted = {"head": "simcc", "lr": "0.003", "size": "96", "stride": "16", "width": "0.6"}
    entry = TABLE.entry(FixedTrial(params))
    found = [row for row in rows if all(row[name] == wanted[name] for name in wanted) and row["seed"] == "0"]
    assert len(found) == TABLE.epochs == 9
    errors, seconds = TABLE.curve(entry, 0)
    assert errors == [float(row["error"]) for row in found]
    assert seconds == [float(row["seconds"]) for row in found]
    assert value(entry, errors[-1]) == pytest.approx(
        math.log(float(found[0]["params_m"]) * float(found[0]["gflops"])) + float(found[-1]["error"])
    )


def test_what_was_not_recorded_stands_for_the_nearest(rows: list[dict[str, str]], tmp_path: Path) -> None:
    without = [row for row in rows if (row["head"], row["width"]) != ("simcc", "0.6")]
    file = tmp_path / "part_of_it.csv.gz"
    with gzip.open(file, "wt", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(without)
    table = Recorded(file)
    params = {"head": "simcc", "lr": 1, "size": 2, "stride": 0, "width": 3}
    assert table.name == "part of it"
    assert table.entry(FixedTrial(params)).key == ("direct", "0.003", "96", "16", "0.6")
    assert table.entry(FixedTrial({**params, "width": 2})).key == ("simcc", "0.003", "96", "16", "0.35")


def test_the_best_is_the_smallest_of_all(rows: list[dict[str, str]]) -> None:
    ends = [row for row in rows if row["epoch"] == "9"]
    values = [math.log(float(row["params_m"]) * float(row["gflops"])) + float(row["error"]) for row in ends]
    assert TABLE.best() == pytest.approx(min(values))


def test_seeds_take_turns(rows: list[dict[str, str]]) -> None:
    twice = next(row for row in rows if row["seed"] == "1")
    entry = TABLE._entry(twice)
    assert TABLE.curve(entry, 1)[0][0] == float(twice["error"]) != TABLE.curve(entry, 2)[0][0]


def test_naap_by_hand(tmp_path: Path) -> None:
    layer = {"kernel_size": 3, "width": 32, "stride": 2, "residual": True}
    schemes = [[{"width": 16}, {"width": 24}, layer], [{"width": 20}, {"width": 24}, layer, {**layer, "width": 48}]]
    (tmp_path / "generated_schemes.json").write_text(json.dumps(schemes))
    accuracies = ",".join(f"e{epoch}Accuracy" for epoch in range(1, 91))
    lines = [f"1000000,500000000,{','.join(['0.6'] * 90)}", f"2000000,100000000,{','.join(['0.8'] * 90)}"]
    (tmp_path / "naap440.csv").write_text("\n".join([f"NumParams,NumMACs,{accuracies}", *lines]))
    table = Naap(tmp_path)
    shared = {"width1": 16, "width2": 24, "kernel3": 3, "width3": 32, "stride3": 2, "residual3": 1}
    entry = table.entry(FixedTrial({**shared, "kernel4": 0}))
    errors, seconds = table.curve(entry, 0)
    assert (entry.params_m, entry.gflops) == (1.0, 0.5)
    assert errors == pytest.approx([10.0] * 90)  # 25 (1 - 0.6)
    assert seconds == pytest.approx([7502.0] * 90)  # 2 + 3 x 50,000 images x 0.5e9 / 1e10
    nearest = table.entry(FixedTrial({**shared, "kernel4": 3, "width4": 48, "stride4": 2, "residual4": 1}))
    assert nearest.params_m == 2.0
    assert table.best() == pytest.approx(math.log(0.2) + 5)


def test_lcbench_funnel_by_hand() -> None:
    shared = {"batch_size": 32, "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 0.01, "max_dropout": 0.1}
    entry = LCBench(Path("/nosuch"), "3945").entry(FixedTrial({**shared, "num_layers": 2, "max_units": 100}))
    # 64 inputs, 100, 51 and 2 units: 6,400 + 5,100 + 102 products, and 153 biases
    assert entry.gflops == pytest.approx(11_602 / 1e9)
    assert entry.params_m == pytest.approx(11_755 / 1e6)


def test_recording_gives_a_row_an_epoch(cache: Path) -> None:
    del cache
    task = FreiHand(drawn=DrawnHands(count=40, difficulty=0.2))
    study = dataclasses.replace(drawn_hands.study, task=task, epochs=2)
    task.prepare()
    params = {"head": "direct", "width": 0.1, "stride": 32, "size": 48, "lr": 1e-3}
    recorded = list(curve(study, params, seed=0))
    assert [row["epoch"] for row in recorded] == [1, 2]
    assert all(row["seconds"] > 0 and row["error"] > 0 for row in recorded)
