"""The report: its pages, its numbers, its figures."""

import json
import math
import re
import shutil
import subprocess
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import optuna
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from optuna.trial import TrialState, create_trial
from PIL import Image
from torch import nn

from data.errors import UserError
from models.cost import cost, measure
from models.net import Arch
from models.plan import Cost, Layer
from search.after.model import Facts, Model, Seed
from search.format import line
from search.objective import CourseScore
from search.results import ablation as found_ablation
from search.results.answers import Answers, Example
from search.results.importance import Share, Shares
from search.results.view import View
from search.run.settings import CLEAN_ERROR, CLEAN_LOSS
from search.study import Config, Study, Training
from search.submission.report import figures
from search.submission.report.curve_reading import Kept, read
from search.submission.report.data import Ablation
from search.submission.report.layer_table import layers
from search.submission.report.layer_table import printed as printed_row
from search.submission.report.typeset import content, write

HOSTILE = 'Zoë *Ångström* #panic() $x$ <b>&amp; \\ "q" _u_ @ref 王小明'
TAG = "{http://www.w3.org/2000/svg}"


def rows(train, valid):
    return [
        {"epoch": i, "error": 224 * v, "train_loss": t, "valid_loss": v, "lr": 0.004 / i, "seconds": 60.0}
        for i, (t, v) in enumerate(zip(train, valid, strict=True), 1)
    ]


def curve(count):
    return rows([0.2 / i**0.5 for i in range(1, count + 1)], [0.21 / i**0.5 for i in range(1, count + 1)])


def with_clean(curve, every=2):
    """The same with what was measured on training images without augmentation: 0.9 of the validation part's."""
    return [
        row | {CLEAN_ERROR: 0.9 * row["error"], CLEAN_LOSS: 0.9 * row["valid_loss"]}
        if (len(curve) - i) % every == 1
        else row
        for i, row in enumerate(curve)
    ]


def answers(worst=60.0):
    true = [[0.1 + 0.03 * i, 0.2 + 0.02 * i] for i in range(21)]
    off = [[x + 0.02, y] for x, y in true]
    examples = [Example(rank, 40 + i, 4.48, off, true) for i, rank in enumerate(["best", "median", "worst"])]
    edges = [[0 if joint % 4 == 1 else joint - 1, joint] for joint in range(1, 21)]
    quantiles = [worst * (i / 200) ** 2 for i in range(201)]
    return Answers(9, [f"joint {i}" for i in range(21)], edges, [5.0 + i for i in range(21)], quantiles, examples)


def trial(number, state=TrialState.COMPLETE, error=20.0, width=0.3):
    kept = {"params_m": 0.2 + 0.1 * width * number, "gflops": 0.003, "pixel_diff": error, "seconds": 30.0}
    return create_trial(
        state=state,
        params={"width": width, "<b>#$*lr": 0.001 * (number + 1)},
        distributions={
            "width": optuna.distributions.FloatDistribution(0.1, 1),
            "<b>#$*lr": optuna.distributions.FloatDistribution(1e-4, 1),
        },
        value=error if state is TrialState.COMPLETE else None,
        user_attrs=kept if error is not None else {},
        intermediate_values={9: error} if error is not None else {},
    )


def view(count=12, name="hands"):
    trials = [trial(i, error=12.0 + (i * 7 % 5), width=0.1 + 0.02 * i) for i in range(count)]
    trials += [trial(count, TrialState.PRUNED, 60.0), trial(count + 1, TrialState.FAIL, None)]
    book = optuna.create_study()
    book.add_trials(trials)
    return View.of(name, CourseScore.name, {"metric": "pixel_diff", "unit": "px"}, book.trials)


def model(epochs=9, seeds=2, study="hands", arch=None):
    arch = arch or Arch(points=21, width=0.2, stride=32, size=64, head="direct")
    price = cost(arch)
    curves = [curve(epochs) for _ in range(seeds)]
    facts = Facts(
        study=study,
        trial=3,
        params={"width": 0.2, HOSTILE: "#strong[x]"},
        metric="pixel_diff",
        unit="px",
        error=curves[0][-1]["error"],
        params_count=price.params,
        flops=price.flops,
        score=None,
        epochs=epochs,
        seeds=[Seed(70 + i, 15.5 + i, "averaged", {"averaged": 15.5 + i, "last": 17.25}) for i in range(seeds)],
        teacher=None,
        data={"identity": "0123abcd", "train": 2528, "valid": 640, "valid_rows": [1, 2]},
        weights_sha256="ab" * 32,
        versions={"torch": torch.__version__},
        made="2026-11-21T15:00:00+01:00",
    )
    config = Config(arch, Training(lr=0.004))
    task = Study(None, lambda _: config, trials=1, epochs=epochs)
    return Model(Path("nowhere"), facts, curves, task, config, arch.build(), price)


def ablation():
    """A loss and a head that are worse, an activation that is better, an augmentation within chance."""
    mean = found_ablation.Mean

    def row(name, said, m, low, high, factor=1.0):
        error, value = mean(15.0 + m, 14.0, 18.0, 3), mean(math.log(factor), -9.0, 9.0, 3)
        return found_ablation.Row(name, said, 10**5, 10**7, {}, error, mean(m, low, high, 3), value, 2.0, ())

    base = found_ablation.Row("as it is", "", 10**5, 10**7, {}, mean(15.0, 14.5, 15.5, 3), None, None, 2.0, ())
    rows = (
        row("loss=mse", "loss distance to mse", 2.5, 1.5, 3.5, 12.0),
        row("head=simcc", "head direct to simcc", 0.9, 0.4, 1.4, 0.5),
        row("act=relu", "act mixed to relu", -0.7, -1.2, -0.2, 0.5),
        row("augment=none", "rotate 10 to 0, scale 0.1 to 0", 1.31, -0.5, 2.0),
    )
    return found_ablation.Ablation("hands", 3, "pixel_diff", "px", 3, 3, base, rows, "2026-11-21T15:00:00+01:00")


def parsed(svg):
    return ElementTree.fromstring(svg)  # noqa: S314 - our own


def jpeg(tmp_path):
    Image.new("RGB", (32, 32), (200, 30, 60)).save(tmp_path / "p.jpg")
    return (tmp_path / "p.jpg").read_bytes()


def streams(file):
    """What is packed in a PDF."""
    raw = file.read_bytes()
    return [zlib.decompressobj().decompress(raw[found.start(1) :]) for found in re.finditer(rb"stream\r?\n(x)", raw)]


def printed(file):
    """The words of a PDF, by poppler where it is installed.

    Elsewhere each run of glyphs as every font would read it: one of them is right.
    """
    if shutil.which("pdftotext"):
        return subprocess.run(["pdftotext", "-layout", file, "-"], check=True, capture_output=True, text=True).stdout
    packed = streams(file)
    fonts = [
        {int(a, 16): bytes.fromhex(b.decode()).decode("utf-16-be") for a, b in re.findall(rb"<(\w{4})> <(\w+)>", one)}
        for one in packed
        if b"beginbfchar" in one
    ]
    told = []
    for run in (run for one in packed for run in re.findall(rb"\[\((.*?)\)\]TJ", one, re.DOTALL)):
        glyphs = glyphs_of(b"".join(re.split(rb"\)-?\d[\d.]*\(", run)))
        codes = [int.from_bytes(glyphs[i : i + 2]) for i in range(0, len(glyphs), 2)]
        told += ["".join(font.get(code, "") for code in codes) for font in fonts]
    return "\n".join(told)


def glyphs_of(part):
    """The bytes of a PDF's string."""
    named = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
    return re.sub(
        rb"\\([0-7]{1,3}|.)",
        lambda found: bytes([int(found[1], 8)]) if found[1].isdigit() else named.get(found[1], found[1]),
        part,
        flags=re.DOTALL,
    )


def pages(file):
    """How many pages a PDF has, by what a page is in it."""
    return sum(len(re.findall(rb"/Type\s*/Page\b", part)) for part in [file.read_bytes(), *streams(file)])


def test_a_paper_says_what_was_measured(tmp_path):
    told, file = model(), tmp_path / "Report.pdf"
    made = content(told, view(), answers(), lambda _: jpeg(tmp_path), HOSTILE)
    assert 2 <= write(made, file) <= 6
    text = " ".join(printed(file).split())
    price = told.price
    for number in (price.params, price.flops_m, price.flops_ma):
        assert f"{number:,}" in text
    assert f"{price.params / 1e6:.4g}" in text
    # By hand: 224 x 0.21 / sqrt(9) px.
    assert "15.680" in text
    score = price.params / 1e6 * price.flops / 1e9 * math.exp(15.68)
    assert f"{score:,.0f}" in text if score >= 1000 else f"{score:.4g}" in text
    for known in ("285.6", "2.008", "0.3026", "6.153", "0123abcd", "2,528", "640", "21 November 2026", "ab" * 32):
        assert known in text
    assert 'Zoë *Ångström* #panic() $x$ <b>&amp; \\ "q" _u_ @ref' in text
    assert "#strong[x]" in text
    assert "image 40: 4.48 px" in text
    assert "image 42: 4.48 px" in text


def test_the_same_content_gives_the_same_file(tmp_path):
    made = content(model(), view(), None, lambda _: None, "A")
    for name in "ab":
        write(made, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pages_are_two_to_six_and_counted(tmp_path):
    small = Layer("0", "Linear", (1, 42), 42, 0, 42, 42, 84)
    full = content(model(300, 3), view(40), answers(), lambda _: jpeg(tmp_path), "A")
    full = replace(full, ablations=(Ablation("EMA", "0.99 to none", 0.3, -0.1, 0.7),))
    bare = content(model(1, 1), view(0), None, lambda _: None, "")
    for made, count in ((bare, 1), (bare, 60), (full, 60), (full, 1000)):
        rows = tuple(replace(small, name=f"body.{i}.conv") for i in range(count))
        price = Cost(params=42 * count, trained=42 * count, flops=42 * count, layers=rows)
        shown = tuple(map(printed_row, layers(price)))
        file = tmp_path / "p.pdf"
        said = write(replace(made, layers=shown), file)
        assert 2 <= said <= 6
        assert said == pages(file)
        if count == 60:
            assert "body.59.conv" in printed(file)


def test_ablations_are_printed_only_where_there_are_any(tmp_path):
    made = content(model(), view(), None, lambda _: None, "A")
    write(made, tmp_path / "p.pdf")
    assert "No ablation of trial 3 was made" in " ".join(printed(tmp_path / "p.pdf").split())
    made = content(model(), view(), None, lambda _: None, "A", ablation())
    write(made, tmp_path / "p.pdf")
    text = " ".join(printed(tmp_path / "p.pdf").split())
    for said in (
        "none: +1.31 px (\u22120.500 to +2.00)",
        "mse: +2.50 px (+1.50 to +3.50) *",
        "Not told apart from chance",
    ):
        assert said in text
    assert "No ablation" not in text


def test_a_study_ranked_by_its_error_alone_has_no_score(tmp_path):
    told = model(study="faces #1")
    told = replace(told, facts=replace(told.facts, metric="nme", unit="%"))
    plain = view()
    plain = View.of("faces", "error", {"metric": "pixel_diff", "unit": "%"}, plain.trials)
    made = content(told, plain, answers(), lambda _: None, "A")
    write(made, tmp_path / "p.pdf")
    text = printed(tmp_path / "p.pdf")
    assert "285.6" not in text
    assert "score" not in text.lower()
    assert "faces #1" in text


def test_what_a_user_can_get_wrong_is_said(tmp_path):
    with pytest.raises(UserError, match="image 40"):
        content(model(), view(), answers(), lambda _: b"no picture", "A")
    cut = jpeg(tmp_path)[:200]
    with pytest.raises(UserError, match="image 40"):
        content(model(), view(), answers(), lambda _: cut, "A")
    made = content(model(), view(), None, lambda _: None, "A")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        write(made, tmp_path / "file" / "Report.pdf")
    (tmp_path / "Report.pdf").mkdir()
    with pytest.raises(UserError, match="--out"):
        write(made, tmp_path / "Report.pdf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Report.pdf", "file", "p.jpg"]


def test_any_text_can_be_typeset(tmp_path):
    made = content(model(study="\x00\x07\ud800\n\u202e</svg>"), view(), None, lambda _: None, "\x00" * 9 + "a" * 9999)
    assert 2 <= write(made, tmp_path / "p.pdf") <= 6


def test_rows_of_layers_add_up_however_they_are_put_together():
    blocks = [nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)) for _ in range(4)]
    price = measure(nn.Sequential(*blocks), (3, 32, 32))
    for most in (100, 4, 2, 1):
        shown = layers(price, most)
        assert len(shown) <= most
        assert sum(row.params for row in shown) == price.params
        assert sum(row.flops_m for row in shown) == price.flops_m
        assert sum(row.flops_ma for row in shown) == price.flops_ma
        assert shown[-1].output == (1, 3, 24, 24)
    assert [row.name for row in layers(price, 4)] == ["0", "1", "2", "3"]


def kept(error, train_error):
    return Kept(error, train_error, 600, 640, "px", averaged=True)


def flat(count, gaps, rise=0.0):
    """Curves of errors of 10 px at the end, with these gaps to training images at every epoch."""
    made = rows([0.05] * count, [0.05] * count)
    for i, (row, gap) in enumerate(zip(made, gaps, strict=True)):
        row["error"] = 10 + (rise * max(0, i - count // 2) if rise else 0.0)
        row[CLEAN_ERROR] = row["error"] - gap
    return made


@pytest.mark.parametrize(
    ("gap", "rise", "grows", "verdict"),
    [
        (0.5, 0.0, True, "fit"),
        (3.0, 0.0, True, "both"),
        (6.0, 0.0, True, "generalisation"),
        (6.0, 0.3, True, "overfitting"),
        (6.0, 0.3, False, "generalisation"),
        (None, 0.3, True, "not measured"),
    ],
)
def test_what_an_error_is_made_of_follows_from_the_gap_like_for_like(gap, rise, grows, verdict):
    ends = gap or 1.0
    made = flat(12, np.linspace(ends / 2, ends, 12) if grows else np.linspace(ends, ends / 2, 12), rise)
    last = made[-1]["error"]
    found = read(made, kept(last, None if gap is None else last - gap))
    assert found.verdict == verdict
    assert found.gap == (None if gap is None else pytest.approx(gap))
    assert "{" not in " ".join(found.text)
    if gap is None:
        assert "not measured" in found.text[1]
        return
    assert found.share == pytest.approx(gap / last)
    first = ends / 2 + (8 / 11) * ends / 2 if grows else ends - (8 / 11) * ends / 2
    assert found.moved == (pytest.approx(first), pytest.approx(ends if grows else ends / 2))
    said = " ".join(found.text)
    # Both ends are printed, so that no word can say otherwise.
    for value in found.moved:
        assert f"{value:+.3g} px" in said
    assert f"{last - gap:.2f} px" in said or f"{last - gap:.3f} px" in said


def test_a_gap_that_changes_its_sign_is_printed_at_both_ends():
    found = read(flat(12, np.linspace(-0.4, 0.2, 12)), kept(10.0, 9.8))
    assert "from +0.0364 px (epoch 9) to +0.2 px (epoch 12)" in found.text[1]
    below = read(flat(12, [-0.3] * 12), kept(10.0, 10.3))
    assert "a gap of \N{MINUS SIGN}0.3 px" in below.text[1]
    assert "none of the error is owed to images being new" in below.text[1]


def test_a_plateau_at_the_end_of_a_schedule_says_nothing_of_longer_trainings():
    falling = flat(30, [0.5] * 30)
    said = read(falling, kept(10.0, 9.5)).text[2]
    assert "says nothing of what a longer one would reach" not in said  # the rate fell from 0.0002 to 0.00013 alone
    for i, row in enumerate(falling):
        row["lr"] = 0.004 * (1 + np.cos(np.pi * i / 29)) / 2
    said = read(falling, kept(10.0, 9.5)).text[2]
    assert "says nothing of what a longer one would reach" in said
    assert "training loss changed by less than 2" in said
    assert "would change little" not in said
    assert "Fewer than 6 epochs" in read(flat(5, [0.5] * 5), kept(10.0, 9.5)).text[2]


def frame(figure):
    (axes,) = figure.axes
    return axes


def drawn_at(axes, label):
    """The points of the one line whose label begins so."""
    (found,) = [line for line in axes.get_lines() if str(line.get_label()).startswith(label)]
    return list(zip(*found.get_data(), strict=True))


def test_dots_stand_where_they_belong():
    curves = [curve(9), curve(7)]
    axes = frame(figures.losses(curves))
    assert drawn_at(axes, "validation") == [(row["epoch"], row["valid_loss"]) for row in curves[0]]
    assert drawn_at(axes, "training") == [(row["epoch"], row["train_loss"]) for row in curves[0]]
    assert drawn_at(axes, "lowest, epoch 9") == [(9, curves[0][-1]["valid_loss"])]
    assert not [line for line in axes.get_lines() if "not augmented" in str(line.get_label())]
    pale = [line for line in axes.get_lines() if line.get_alpha() == 0.25]
    assert sorted(len(line.get_xdata()) for line in pale) == [7, 7]
    assert frame(figures.losses([curve(300)])).get_yscale() == "log"
    assert axes.get_yscale() == "linear"


def test_training_images_without_augmentation_are_drawn_beside_the_validation_part():
    curves = [with_clean(curve(9)), curve(9)]
    for drawn, name, clean in ((figures.losses, "valid_loss", CLEAN_LOSS), (figures.errors, "error", CLEAN_ERROR)):
        axes = frame(drawn(curves, "PixelDiff [px]"))
        dots = drawn_at(axes, "training images, not augmented")
        assert dots == [(epoch, 0.9 * curves[0][epoch - 1][name]) for epoch in (1, 3, 5, 7, 9)]
        assert dots == [(row["epoch"], row[clean]) for row in curves[0] if clean in row]
        assert drawn_at(axes, "validation") == [(row["epoch"], row[name]) for row in curves[0]]


def test_the_interval_of_a_change_is_drawn_from_low_to_high():
    changes = [Ablation("EMA", "off", 1.31, -0.5, 2.0, 3.7), Ablation(HOSTILE, "x", 0.3, None, None)]
    axes = frame(figures.ablation(changes, "PixelDiff", "px"))
    (bar,) = axes.containers
    (reach,) = bar.lines[2][0].get_segments()
    assert reach == pytest.approx(np.array([[-0.5, 0], [2.0, 0]]))
    assert [text.get_text() for text in axes.texts] == ["+1.31, score \u00d7 3.7", "+0.3"]
    assert figures.ablation([], "PixelDiff", "px") is None


def test_bars_are_as_long_as_the_errors_and_in_the_colour_of_the_limb():
    axes = frame(figures.joints(answers(), "px"))
    assert [bar.get_width() for bar in axes.patches] == [5.0 + i for i in range(21)]
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert len(set(colours)) == 6
    assert colours[1] == colours[4] != colours[5]


def test_what_a_parameter_explains_has_its_line_of_chance():
    found = Shares((Share("width", 0.6, 12, 0.1), Share(HOSTILE, 0.05, 12, 0.1)), 12)
    drawn = figures.importance([("ln(score)", found), ("error", "Importances need 8 finished trials; there are 2.")])
    assert [bar.get_width() for bar in drawn.axes[0].patches] == [0.6, 0.05]
    assert [line.get_xdata()[0] for line in drawn.axes[0].get_lines()] == [0.1]
    assert "need 8 finished" in drawn.axes[1].texts[0].get_text().replace("\n", " ")
    assert figures.importance([("error", "none")]) is None


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
def test_every_figure_is_sound_and_in_its_frame():
    hostile = view(name=HOSTILE)
    drawn = [
        figures.losses([curve(1)]),
        figures.losses([curve(300), curve(7)]),
        figures.errors([curve(2)], HOSTILE),
        figures.errors([curve(2)], "\x00\ud800"),
        figures.rates(curve(5)),
        figures.pareto(hostile, -7.0, 6.0, 3)[0],
        figures.pareto(view(0), -0.5, 6.0, 3)[0],
        figures.joints(answers(), HOSTILE),
        figures.correct(answers(), "px"),
        figures.correct(answers(worst=0.0), "px"),
    ]
    for figure in drawn:
        written = figures.svg(figure)
        root = parsed(written)
        assert written == figures.svg(figure)
        assert not re.search(r"[ ML](nan|inf)\b", written, re.IGNORECASE)
        size = figure.get_size_inches() * 72
        assert [float(root.get(side)[:-2]) for side in ("width", "height")] == pytest.approx(size, abs=0.01)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        for axes in figure.axes:
            legend = [axes.get_legend()] if axes.get_legend() else []
            for part in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts, *legend):
                box = part.get_window_extent(canvas.get_renderer())
                assert box.x0 > -1 or not box.width
                assert box.x1 < size[0] / 72 * figure.dpi + 1
    assert "<svg" in figures.hand(None, "", answers().examples[0], answers().edges)


def test_the_search_is_drawn_with_every_trial_that_has_an_error():
    drawn, missing = figures.pareto(view(), -7.0, 6.0, 3)
    # The one that failed has no price; the one stopped at 60 px is far above the others.
    assert missing == 2
    axes = frame(drawn)
    assert len(drawn_at(axes, "finished (12)")) == 12
    assert drawn_at(axes, "this network (trial 3)") == [(-7.0, 6.0)]
    own = view().by_number[3].error
    assert [(-7.0, own), (-7.0, 6.0)] in [list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()]


def test_words_are_cut_to_their_room():
    assert line("short") == "short"
    assert line("a very long name of a parameter", 20) == "a very long name of\u2026"


def test_content_is_plain(tmp_path):
    made = content(model(), view(), answers(), lambda _: jpeg(tmp_path), HOSTILE)
    assert json.loads(json.dumps(asdict(made), allow_nan=False))["unit"] == "px"
