"""Ablations: which changes, what their statistics are, and a real one from one command."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from data.errors import UserError
from data.tasks.freihand import FreiHand
from data.transforms.augment import Augment
from models.bodies import Body
from models.cost import cost
from models.net import Arch
from search.after import ablation as ablate
from search.after.ablation import BASE
from search.after.training import FixedTraining, SearchedTrial, choose_trial
from search.cli.ablate import tabled
from search.config_record import record
from search.load import load_study
from search.objective import CourseScore, ErrorAlone
from search.results import ablation
from search.results.ablation import Ablation, Mean, Row
from search.results.figures.ablation import figure, write
from search.results.leaderboard import entries
from search.results.style import MUTED, SERIES
from search.run.state.ledger import ROW, Ledger
from search.run.training.fit import fit
from search.study import Config, Study, Training, replay
from search.submission import sources
from search.submission.report import data as report_data
from search.submission.report import figures as report_figures
from search.submission.report import typeset as report
from search.variant import PARAMETER, vary
from tests.search.test_cli import mistake, said
from tests.search.test_retrain import searched
from tests.submission import test_report
from tests.without_ray import engine

TINY = Path(__file__).parent.parent / "tiny_study.py"
POSEFRONT = Path(sys.executable).with_name("posefront")
ARCH = Arch(points=21, width=0.2, stride=16, size=96, head="direct")
RICH = Config(
    ARCH,
    Training(1e-3, weight_decay=0.05, warmup=2, ema=0.99, clip=1.0, divergence=0.1, weights="w.pth"),
    Augment(rotate=30, flip=0.5),
)


@dataclass(frozen=True)
class Lossy(FreiHand):
    """FreiHAND with three losses."""

    losses = ("distance", "mse", "smooth_l1")


def study_of(config: Config, **more: object) -> Study:
    return Study(Lossy(), lambda _: config, trials=1, epochs=2, **more)


def test_every_choice_that_matters_is_changed_once() -> None:
    study = study_of(RICH)
    found = ablate.variants(study, RICH)
    assert list(found) == [
        BASE,
        *("rotate=0", "flip=0", "augment=none", "ema=0", "schedule=constant", "weight_decay=0", "warmup=0", "clip=0"),
        *("divergence=0", "weights=none", "loss=mse", "loss=smooth_l1", "head=heatmap", "head=simcc"),
        *("act=relu", "act=hardswish", "act=silu", "size=80", "size=112"),
    ]
    made = {name: vary(RICH, change) for name, change in found.items()}
    assert len(set(made.values())) == len(made)
    assert made["augment=none"] == replace(RICH, augment=Augment())
    assert made["rotate=0"].augment == Augment(flip=0.5)
    assert made["schedule=constant"].training.schedule == "constant"
    assert made["head=simcc"].arch == replace(ARCH, head="simcc")
    words = {name: ablate.in_words(study.task, RICH, change) for name, change in found.items()}
    assert words["augment=none"] == "rotate 30 to 0, flip 0.5 to 0"
    assert words["loss=mse"] == "loss distance to mse"
    assert words["weights=none"] == "weights w.pth to none"
    assert words["size=112"] == "size 96 to 112"


def test_what_would_make_no_difference_is_left_out() -> None:
    plain = Config(replace(ARCH, size=32), Training(1e-3, schedule="constant", loss="mse"))
    assert list(ablate.variants(study_of(plain), plain)) == [
        *(BASE, "ema=0.999", "schedule=cosine", "loss=distance", "loss=smooth_l1", "head=heatmap", "head=simcc"),
        *("act=relu", "act=hardswish", "act=silu"),
        "size=40",  # 24 is below the smallest input
    ]
    one = replace(plain, augment=Augment(rotate=30))
    assert "rotate=0" in ablate.variants(study_of(one), one)
    assert "augment=none" not in ablate.variants(study_of(one), one)


def test_other_schedules_and_bodies() -> None:
    step = Config(
        Body("resnet10t", 4, "heatmap", (256, 192), upsample=3), Training(1e-3, schedule="step", milestones=(0.5, 0.8))
    )
    found = ablate.variants(study_of(step), step)
    assert vary(step, found["schedule=constant"]).training.decay == 1
    assert {name for name in found if name.startswith("size")} == {"size=128x96", "size=384x288"}
    assert not any(name.startswith("head") for name in found)
    cycle = Config(ARCH, Training(1e-3, schedule="onecycle", warmup=3))
    assert "warmup=0" not in ablate.variants(study_of(cycle), cycle)
    assert [ablate.neighbours(size) for size in (64, 224, 256)] == [(48, 80), (192, 256), (192, 320)]


def test_a_brief_ablation_changes_loss_head_activation_and_training_alone() -> None:
    study = study_of(RICH, changes={"no tricks": {"training.ema": 0.0, "augment.rotate": 0.0}})
    assert list(ablate.brief(ablate.variants(study, RICH))) == [
        *(BASE, "loss=mse", "loss=smooth_l1", "head=heatmap", "head=simcc", "act=relu", "augment=none", "ema=0"),
        "schedule=constant",
    ]
    plain = Config(replace(ARCH, act="relu"), Training(1e-3), Augment(flip=0.5))
    assert list(ablate.brief(ablate.variants(study_of(plain), plain)))[5:] == [
        *("act=mixed", "flip=0", "ema=0.999", "schedule=constant")
    ]
    assert [ablate.brief_length(epochs) for epochs in (1, 9, 40)] == [2, 3, 13]


def test_the_studys_own_changes_come_first_and_only_if_they_fit() -> None:
    own = {"no tricks": {"training.ema": 0.0, "augment.rotate": 0.0}, "same": {"training.ema": 0.99}}
    found = ablate.variants(study_of(RICH, changes=own), RICH)
    assert list(found)[:2] == [BASE, "no tricks"]
    assert "same" not in found
    for wrong in ({"training.emma": 0}, {"training.ema": 2}, {"data.fold": 1}, {"arch.size": 1}):
        with pytest.raises(UserError, match="the study's change 'wrong' does not fit"):
            ablate.variants(study_of(RICH, changes={"wrong": wrong}), RICH)


def test_changes_are_chosen_by_name() -> None:
    study = study_of(RICH)
    assert list(ablate.variants(study, RICH, ["size=80", "ema=0"])) == [BASE, "size=80", "ema=0"]
    with pytest.raises(UserError, match=r"no change 'rotat=0' .*: did you mean rotate=0.* known are rotate=0,"):
        ablate.variants(study, RICH, ["rotat=0"])


def test_a_mean_and_its_interval_are_students() -> None:
    # By hand: t(0.975, 4) = 2.776445, deviation sqrt(2.5).
    found = ablate.mean([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found is not None
    assert found.mean == 3
    assert found.half == pytest.approx(2.776445 * 2.5**0.5 / 5**0.5, rel=1e-6)
    assert found.sure
    two = ablate.mean([1.0, 3.0])
    assert two is not None
    assert (two.low, two.high) == (pytest.approx(2 - 12.7062, abs=1e-4), pytest.approx(2 + 12.7062, abs=1e-4))
    assert not two.sure
    assert ablate.mean([7.0]) == Mean(7.0, None, None, 1)
    assert ablate.mean([]) is None


def begun(tmp_path: Path, seeds: int = 4) -> FixedTraining:
    """An ablation of the best of three trials, nothing of it trained."""
    trial = choose_trial(searched(tmp_path).optuna_study, None)
    source = SearchedTrial(load_study(str(TINY)), "tiny_study", TINY, tmp_path / "tiny_study", trial)
    variants = ablate.variants(source.study, source.config, ["ema=0", "size=40"])
    return ablate.ablation_training(source, 2, seeds, variants)


def filled(ledger: Ledger, errors: dict[str, list[float | None]]) -> None:
    """Tell the ledger what each training came to, None for a failure."""
    taken = {name: iter(values) for name, values in errors.items()}
    while (asked := ledger.ask()) is not None:
        error = next(taken[asked.params[PARAMETER]])
        for epoch in (1, 2):
            ledger.report(asked.number, dict.fromkeys(ROW, 1.0) | {"epoch": epoch, "error": error or 1.0})
        ledger.fail(asked.number, "out of luck\nat line 3") if error is None else ledger.finish(asked.number)


ERRORS: dict[str, list[float | None]] = {
    BASE: [10.0, 11.0, 12.0, 13.5],
    "ema=0": [10.5, 11.75, 12.25, 14.5],
    "size=40": [9.0, None, 13.0, 12.0],
}


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    training = begun(tmp_path)
    filled(training.ledger, ERRORS)
    found = ablate.summarise(training)
    assert (found.study, found.trial, found.epochs, found.seeds) == ("tiny_study", training.source.trial.number, 2, 4)
    base, ema, size = found.base, *found.rows
    assert list(base.errors.values()) == ERRORS[BASE]
    assert base.errors.keys() == ema.errors.keys()
    assert len(base.errors) == 4
    theirs = stats.ttest_rel(ERRORS["ema=0"], ERRORS[BASE])
    low, high = theirs.confidence_interval(0.95)
    assert ema.difference is not None
    assert ema.difference.mean == pytest.approx(0.625)
    assert (ema.difference.low, ema.difference.high) == (pytest.approx(low), pytest.approx(high))
    assert ema.difference.sure == (theirs.pvalue < 0.05)
    # The network is the same, so the score's logarithm moves as the error does; and the score as its exponential.
    assert ema.value == ema.difference
    assert ema.factor == pytest.approx(np.exp(0.625))
    assert base.error is not None
    assert base.score == pytest.approx(base.params / 1e6 * base.flops / 1e9 * np.exp(11.625))
    assert base.difference is None
    # One training of the other change failed: it has no pair.
    assert size.failed == ("out of luck",)
    pairs = np.array([9.0, 13.0, 12.0]) - np.array([10.0, 12.0, 13.5])
    assert size.difference is not None
    assert (size.difference.mean, size.difference.n) == (pytest.approx(pairs.mean()), 3)
    assert size.flops != base.flops
    changed = vary(training.source.config, training.variants["size=40"])
    assert size.flops == cost(changed.arch).flops
    assert size.value is not None
    dearer = np.log(size.params * size.flops / base.params / base.flops)
    assert size.value.mean == pytest.approx(pairs.mean() + dearer)
    assert "over 3 to 4 pairs" in found.caution
    assert [row.name for row in found.ranked] == ["ema=0", "size=40"]

    file = ablation.save(found, tmp_path)
    assert file == tmp_path / "ablation" / "000001.json"
    assert ablation.load(tmp_path, 1) == found
    for broken in ("", "{}", "[]", file.read_text()[:-9], file.read_text().replace('"n": 4', '"n": "four"')):
        file.write_text(broken)
        assert ablation.load(tmp_path, 1) is None


def test_one_seed_has_no_interval_and_it_is_said(tmp_path: Path) -> None:
    training = begun(tmp_path, seeds=1)
    filled(training.ledger, {BASE: [10.0], "ema=0": [11.0], "size=40": [None]})
    found = ablate.summarise(training)
    assert found.rows[0].difference == Mean(1.0, None, None, 1)
    assert found.rows[1].error is found.rows[1].difference is found.rows[1].score is None
    assert "no interval" in found.caution
    assert ablation.load(ablation.save(found, tmp_path).parent.parent, 1) == found


def test_nothing_is_compared_with_a_base_that_failed(tmp_path: Path) -> None:
    training = begun(tmp_path, seeds=1)
    filled(training.ledger, {BASE: [None], "ema=0": [11.0], "size=40": [12.0]})
    with pytest.raises(UserError, match="as it is came to an end; the last said: out of luck"):
        ablate.summarise(training)


def test_what_was_interrupted_goes_on_and_more_seeds_are_added(tmp_path: Path) -> None:
    training = begun(tmp_path, seeds=2)
    ledger = training.ledger
    for _ in range(3):
        asked = ledger.ask()
        assert asked is not None
        ledger.report(asked.number, dict.fromkeys(ROW, 1.0) | {"epoch": 1, "error": 20.0})
        if asked.number < 2:
            ledger.finish(asked.number)
    seeds = {trial.params[PARAMETER]: trial.user_attrs["seed"] for trial in ledger.optuna_study.trials if trial.params}
    assert len(set(seeds.values())) == 1
    again = replace(training).ledger
    assert again.adopt() == 1
    asked = again.ask()
    assert asked is not None
    assert (asked.number, asked.last) == (2, dict.fromkeys(ROW, 1.0) | {"epoch": 1, "error": 20.0})
    assert (again.finished, again.study.trials) == (2, 6)
    assert replace(training, seeds=3).ledger.study.trials == 9
    # Another choice of changes, another length, another configuration: another folder.
    source, variants = training.source, training.variants
    fewer = {name: variants[name] for name in (BASE, "ema=0")}
    turned = replace(source.trial, config=record(replace(source.config, augment=Augment(rotate=1))))
    folders = {
        ablate.ablation_training(*which).folder
        for which in (
            (source, 2, 2, variants),
            (source, 2, 2, fewer),
            (source, 3, 2, variants),
            (replace(source, trial=turned), 2, 2, variants),
        )
    }
    assert len(folders) == 4


def row(name: str, difference: Mean | None, failed: tuple[str, ...] = ()) -> Row:
    error = None if difference is None else Mean(12.0 + difference.mean, 11.0, 14.0, 3)
    score = None if difference is None else 3.5
    return Row(name, f"{name} changed", 10**6, 10**8, {}, error, difference, difference, score, failed)


MADE = Ablation(
    study="<b>hands",
    trial=17,
    metric="pixel_diff",
    unit="px",
    epochs=40,
    seeds=3,
    base=Row(BASE, "", 10**6, 10**8, {"1": 12.0}, Mean(12.0, 11.5, 12.5, 3), None, None, 3.0, ()),
    rows=(
        row("ema=0", Mean(0.2, -0.3, 0.7, 3)),
        row("<i>worse", Mean(1.5, 1.0, 2.0, 3)),
        row("better", Mean(-0.8, -1.0, -0.6, 3)),
        row("lost", None, ("out of memory",)),
        row("single", Mean(0.9, None, None, 1)),
    ),
    made="2026-11-21T15:00:00+01:00",
)


def test_the_figure_shows_each_difference_with_its_interval(tmp_path: Path) -> None:
    drawn = figure(MADE)
    shown = {
        (trace.name, place): (x, half)
        for trace in drawn.data
        for x, place, half in zip(trace.x, trace.y, trace.error_x.array, strict=True)
    }
    assert shown == {
        ("worse", 0): (1.5, 0.5),
        ("one pair", 1): (0.9, None),
        ("within chance", 2): (0.2, pytest.approx(0.5)),
        ("better", 3): (-0.8, pytest.approx(0.2)),
    }
    assert drawn.layout.yaxis.ticktext[0].startswith("&lt;i&gt;worse")
    assert "as it is: 12.00 px" in drawn.layout.annotations[0].text
    assert [trace.name for trace in drawn.data if not trace.error_x.visible] == ["one pair"]
    assert "posefront ablate" in figure(None).layout.annotations[0].text
    assert "came to an end" in figure(replace(MADE, rows=())).layout.annotations[0].text
    write(MADE, tmp_path / "deep" / "a.html")
    assert "<title>&lt;b&gt;hands trial 17 - ablation</title>" in (tmp_path / "deep" / "a.html").read_text()


def test_the_report_prints_the_ablation_of_its_models_trial(tmp_path: Path) -> None:
    found = replace(test_report.model(), folder=tmp_path / "models" / "000003")
    bare = sources.content(found, sources.gathered(found, test_report.view()), "A")
    assert (bare.ablations, bare.ablation_figure.svg, bare.ablation_figure.caption) == ((), "", "")
    ablation.save(replace(MADE, trial=3), tmp_path)
    content = sources.content(found, sources.gathered(found, test_report.view()), "A")
    assert [row.name for row in content.ablations] == ["<i>worse", "single", "ema", "better"]
    assert content.ablations[1] == report_data.Ablation(
        "single", "changed", 0.9, None, None, pytest.approx(np.exp(0.9))
    )
    (axes,) = report_figures.ablation(content.ablations, "PixelDiff", "px").axes
    dots = {line.get_ydata()[0]: line for line in axes.get_lines() if line.get_marker() == "o"}
    assert [dots[row].get_markerfacecolor() for row in range(4)] == [SERIES[3], "white", MUTED, SERIES[2]]
    assert [dots[row].get_xdata()[0] for row in (0, 1, 3)] == pytest.approx([1.5, 0.9, -0.8])
    many = replace(content, ablations=content.ablations * 6)
    for printed in (content, many):
        assert report.write(printed, tmp_path / "p.pdf") <= 6
        text = " ".join(test_report.printed(tmp_path / "p.pdf").split())
        for word in (
            "<i>worse",
            "+1.50 px (+1.00 to +2.00) *",
            "+0.900 px;",
            "\u22120.800 px (\u22121.00 to \u22120.600) *",
            "score \u00d7 0.223",
            "trained for 40 epochs",
            "12.00 \u00b1 0.5000 px",
        ):
            assert word in text


def test_the_table_has_a_score_only_where_the_study_has_one() -> None:
    table = tabled(MADE)
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["change"] == [BASE, "<i>worse", "single", "ema=0", "better", "lost"]
    assert cells["PixelDiff \\[px]"][0] == "12.00 \u00b1 0.5000"
    assert cells["difference"][1:] == [
        *("[red]+1.500 (1.000 to 2.000)[/]", "+0.9000", "+0.2000 (-0.3000 to 0.7000)"),
        *("[green]-0.8000 (-1.000 to -0.6000)[/]", ""),
    ]
    assert cells["times"][1] == f"{np.exp(1.5):.3g}"
    bare = replace(MADE, base=replace(MADE.base, score=None), rows=())
    assert "times" not in {column.header for column in tabled(bare).columns}
    assert {CourseScore.name, ErrorAlone.name} == {CourseScore().name, "error"}


def test_what_a_user_can_get_wrong(tmp_path: Path) -> None:
    out = ("--out", tmp_path)
    assert "no search of 'tiny_study'" in mistake("ablate", TINY, *out)
    searched(tmp_path)
    assert "trials 0 to 2" in mistake("ablate", TINY, "--trial", 9, *out)
    assert "did you mean ema=0" in mistake("ablate", TINY, "--changes", "ema", *out)


def test_every_way_of_an_ablation_from_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = searched(tmp_path).optuna_study
    entry = next(one for one in entries(book.get_trials(), "pixel_diff") if one.number == 1)
    command = ["ablate", TINY, "--out", tmp_path, "--trial", "1", "--seeds", "2", "--epochs", "2"]
    command += ["--changes", "ema=0,schedule=constant", "--workers", "2"]
    monkeypatch.setattr("search.run.engine.search", engine())
    monkeypatch.setenv("COLUMNS", "80")
    printed = said(*command)
    folder = tmp_path / "tiny_study"
    found = ablation.load(folder, 1)
    assert found is not None
    assert [row.name for row in found.rows] == ["ema=0", "schedule=constant"]
    assert all(len(row.errors) == 2 and row.errors.keys() == found.base.errors.keys() for row in found.rows)
    for word in ("as it is", "ema=0", "schedule=constant", "2 pairs", "cosine to constant"):
        assert word in printed
    assert (folder / "ablation" / "000001.html").stat().st_size > 10**6
    assert not list(folder.glob("ablation/*/weights/*.pt"))

    # The same training by itself, without a storage.
    study = load_study(str(TINY))
    config, _ = replay(study, entry.params)
    for row, training in ((found.base, config.training), (found.rows[0], replace(config.training, ema=0.0))):
        seed, error = next(iter(row.errors.items()))
        device = torch.device("cpu")
        *_, last = fit(study.task, replace(config, training=training), epochs=2, seed=int(seed), device=device)
        assert last.epoch.error == pytest.approx(error, rel=1e-6)
    before = json.loads((folder / "ablation" / "000001.json").read_text())
    monkeypatch.setattr("search.run.engine.search", engine(0))  # nothing is trained anew
    said(*command)
    assert json.loads((folder / "ablation" / "000001.json").read_text()) | {"made": ""} == before | {"made": ""}
