"""What the report says of data, selection, choices and layers, against counts and sums made here."""

import math
import statistics
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from data.transforms.augment import Augment
from models.net import Arch
from search.after import model as models
from search.after.model import Facts, Loser, Model, Preprocessing, Seed
from search.format import of_log
from search.objective import REFERENCE, log_score
from search.study import Study, Training
from search.submission.notebook import network_source
from search.submission.report import figures as report_figures
from search.submission.report import methods, text
from search.submission.report import typeset as report
from tests.submission.test_report import HOSTILE, ablation, model, printed, view

SEEDS = [
    Seed(70, 12.9, "averaged", {"averaged": 12.9, "last": 13.4}),
    Seed(71, 13.1, "last", {"averaged": 13.5, "last": 13.1}),
    Seed(72, 13.8, "averaged", {"averaged": 13.8, "last": 14.6}),
]


def hands(**changes: object) -> FreiHand:
    return FreiHand(**({"drawn": DrawnHands(count=3200, difficulty=0.2)} | changes))  # type: ignore[arg-type]


def made(task: FreiHand | None = None, training: Training | None = None, **facts: object) -> Model:
    """A model of a heatmap network on drawn hands."""
    task = task or hands()
    bare = model(arch=Arch(points=21, width=0.2, stride=16, size=64, head="heatmap", neck=0))
    training = training or Training(lr=0.004, ema=0.995, batch=32)
    config = replace(bare.config, training=training, augment=Augment(rotate=10, scale=0.1))
    known = {"error": 12.9, "seeds": SEEDS, "preprocessing": Preprocessing(1.0, 0.45, 0.25)} | facts
    data = {**bare.facts.data, "about": models.about(task)}
    study = Study(task, lambda *_: config, trials=1, epochs=9)
    told: Facts = replace(bare.facts, data=data, **known)  # type: ignore[arg-type]
    return replace(bare, facts=told, config=config, source=study)


def test_every_choice_has_its_row_and_what_it_is_worth() -> None:
    table = {row.choice: row for row in methods.methods(made(), view(), ablation())}
    assert list(table) == [
        *("loss", "body", "head", "activation", "normalisation", "folding", "input", "optimiser", "schedule"),
        *("averaging", "augmentation", "length"),
    ]
    minus = "\N{MINUS SIGN}"
    assert table["loss"].effect == "mse: +2.50 px (+1.50 to +3.50) *"
    assert table["head"].effect == "simcc: +0.900 px (+0.400 to +1.40) *"
    assert table["activation"].effect == f"relu: {minus}0.700 px ({minus}1.20 to {minus}0.200) *"
    assert table["augmentation"].effect == f"none: +1.31 px ({minus}0.500 to +2.00)"
    assert table["augmentation"].used == "turns up to \u00b110\u00b0, size \u00b110%"
    # Last minus averaged weights by hand: 0.5, -0.4, 0.8; t(0.975, 2) = 4.302653.
    gains = [0.5, -0.4, 0.8]
    half = 4.302653 * statistics.stdev(gains) / 3**0.5
    low, high = (f"{statistics.mean(gains) + sign * half:+.2f}".replace("-", minus) for sign in (-1, 1))
    assert table["averaging"].effect == f"last weights of the final trainings: +0.300 px ({low} to {high})"
    assert "folded" in table["normalisation"].why
    assert methods.methods(made(), view(), None)[0].effect == ""


def test_a_longer_training_is_measured_against_the_search() -> None:
    long = made(epochs=24)
    found = view()
    found = replace(found, entries=tuple(replace(entry, epochs=9, error=15.5) for entry in found.entries))
    table = {row.choice: row for row in methods.methods(long, found, None)}
    off = 15.5 - statistics.mean([12.9, 13.1, 13.8])
    assert table["length"].effect == f"9 epochs, once, in the search: +{off:.2f} px"
    assert methods.methods(made(), found, None)[-1].effect == ""


def test_what_helped_is_what_is_beyond_seed_noise() -> None:
    first, second = methods.helped(ablation(), made().facts)
    assert first == (
        "Beyond seed noise it helped to have loss distance instead of mse (2.50 px, 1.50 to 3.50; score \u00d7 "
        "0.0833); head direct instead of simcc (0.900 px, 0.400 to 1.40; score \u00d7 2.00). "
        "After 3 epochs a change was better than the choice that was made: activation relu instead of mixed (0.700 px, "
        "0.200 to 1.20; score \u00d7 0.500). Not told apart from chance: augment=none."
    )
    assert "3 epochs, shorter than the final training's 9" in second
    assert "over 3 seeds" in second
    assert "pay in long trainings" not in first
    found = ablation()
    rows = tuple(replace(row, name="schedule=constant") if row.name == "act=relu" else row for row in found.rows)
    late = methods.helped(replace(found, rows=rows), made().facts)[0]
    assert "pay in long trainings: of 9 epochs this says nothing" in late
    same = methods.helped(replace(found, rows=rows, epochs=9), made().facts)
    assert "pay in long trainings" not in same[0]
    assert "shorter than" not in same[1]
    (alone,) = methods.helped(None, made().facts)
    assert "was not measured" in alone


@pytest.mark.parametrize(
    ("training", "terms", "unit"),
    [
        (Training(1e-3), ("distance",), "sides of the image"),
        (Training(1e-3, loss="mse"), ("mse",), "sides\u00b2"),
        (Training(1e-3, loss="smooth_l1", divergence=0.02), ("smooth_l1", "js"), "sides of the image"),
    ],
)
def test_the_loss_is_named_with_its_formula_and_unit(training: Training, terms: tuple[str, ...], unit: str) -> None:
    found = methods.loss(made(training=training))
    assert (found.terms, found.unit) == (terms, unit)
    taught = methods.loss(made(training=training, teacher="hands trial 3, 11 px"))
    assert taught.terms == (*terms, "teacher")


def test_every_formula_can_be_typeset(tmp_path: Path) -> None:
    for loss in ("distance", "smooth_l1", "mse"):
        for head in ("heatmap", "simcc"):
            told = made(training=Training(1e-3, loss=loss, divergence=0.02), teacher=HOSTILE)
            arch = replace(told.config.arch, head=head)
            told = replace(told, net=arch.build())
            content = report.content(told, view(), None, lambda _: None, "A")
            assert 2 <= report.write(content, tmp_path / "p.pdf") <= 6


def test_drawn_images_are_named_and_not_compared_with_photographs() -> None:
    drawn = made()
    rows = dict(text.data(drawn))
    assert "3,200 drawn hands (seed 0, difficulty 0.2)" in rows["Images"]
    assert "no photograph" in rows["Images"]
    assert "2,528 to train on, 640 to judge on" in rows["Split"]
    assert "5 hands at each border are left out" in rows["Split"]
    for word in ("antialiasing", "64 \u00d7 64", "22 %", "0.45"):
        assert word in rows["Preprocessing"]
    said = text.comparison(drawn, REFERENCE)
    assert "on drawn hands" in said
    assert "must not be compared" in said
    assert "smaller" not in said
    assert all("--data" not in command for command in text.commands(drawn, "A"))
    real = made(hands(drawn=None, root="/elsewhere/my hands"))
    assert "the folder 'my hands'" in dict(text.data(real))["Images"]
    assert "/elsewhere" not in str(text.data(real))
    assert all("--data DIR" in command for command in text.commands(real, "A"))
    old = replace(drawn, facts=replace(drawn.facts, data={"identity": "x", "train": 1, "valid": 1}))
    assert "3,200 drawn hands" in dict(text.data(old))["Images"]


def test_selection_says_from_what_and_what_it_would_be_without() -> None:
    told = made(lost=(Loser(5, 3, 14.0, 1.0), Loser(7, 3, 15.0, 2.0)))
    log = log_score(told.price.params / 1e6, told.price.flops / 1e9, 12.9)
    said = text.selection(told.facts, view(), log)
    assert "the smallest of 6 that were measured on the validation part: 3 trainings, each with its last and" in said
    averaged = [12.9, 13.5, 13.8]
    mean, spread = statistics.mean(averaged), statistics.stdev(averaged)
    assert f"{mean:.3f} px \u00b1 {spread:.3f}" in said
    plain = told.price.params / 1e6 * told.price.flops / 1e9 * math.exp(mean)
    assert f"scores {of_log(math.log(plain))} instead of {of_log(log)}" in said
    assert "trials 5, 7" in said
    assert "of 12 that the search had trained to the end" in said
    rows = text.result(told.price, told.facts, log, REFERENCE)
    assert [row[2] for row in rows] == [
        *("mean of its seeds", "", "", "", f"{mean:.3f}", of_log(math.log(plain)), "10 to 15 px")
    ]
    one = text.selection(replace(told.facts, seeds=SEEDS[:1], lost=None), view(), log)
    assert "one seed" in one
    assert "1 training, each with" in one


def test_one_network_is_one() -> None:
    alone = view(1).only([0])
    assert "A search over 1 network (1 trained to the end)" in text.summary(made(), alone, None)


def test_layers_are_called_and_counted_as_in_the_notebook() -> None:
    told = made()
    plain = network_source.plain(network_source.source(told.net))
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in plain.named_children()}
    rows = report.content(told, view(), None, lambda _: None, "A").layers
    counted = {row[0]: int(row[3].replace(",", "")) for row in rows if row[3] != "0"}
    assert counted == {name: count for name, count in parts.items() if count}
    rows = dict(text.parameters(told))
    state = told.net.state_dict()
    still = {name for name in state if name.endswith(("running_mean", "running_var"))}
    counts = [
        sum(value.numel() for name, value in state.items() if name not in still and "num_batches" not in name),
        sum(state[name].numel() for name in still),
    ]
    assert rows["Trainable parameters"].startswith(f"{counts[0]:,} ({4 * counts[0] / 1e6:.3f} MB")
    assert rows["Non-trainable parameters"].startswith(f"{counts[1]:,} (")
    assert rows["Total"].startswith(f"{sum(counts):,} (")
    assert rows["Deployed parameters"].startswith(f"{told.price.params:,} (")


def test_every_band_has_its_label() -> None:
    drawn, _ = report_figures.pareto(view(), -7.0, 6.0, 3)
    (axes,) = drawn.axes
    labels = [note for note in axes.texts if note.get_text().endswith("px")]
    assert {note.get_text() for note in labels} == {"< 5 px", "5 to 7 px", "7 to 10 px", "10 to 15 px"}
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    boxes = sorted((note.get_window_extent(canvas.get_renderer()) for note in labels), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_names_in_any_script_are_printed(tmp_path: Path) -> None:
    names = "Zoë 王小明 刘洋 김철수 たなか Łukasz Đặng Straße Ελένη Юрий"
    assert report.unprintable(names) == ""
    assert report.unprintable("Ada \U00012000") == "\U00012000"
    file = tmp_path / "p.pdf"
    report.write(report.content(made(), view(), None, lambda _: None, names), file)
    assert names in " ".join(printed(file).split())
