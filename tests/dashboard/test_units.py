"""Pages, notes and sheets of studies whose errors, units and answers are nothing like a hand's pixels."""

import json
import math
import re
import statistics
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from PIL import Image, ImageDraw

from data.storage.pack import Part
from models.plan import Cost, Layer, Plan, Stage
from models.readings import FLOPS, PARAMS
from search.dashboard import pages, replies, report
from search.dashboard.parts import errors
from search.dashboard.parts.hardest import hardest
from search.dashboard.parts.now import Machine
from search.dashboard.reader import Reader
from search.dashboard.source import Source
from search.format import compact, digits, measured, named, titled
from search.objective import CourseScore, ErrorAlone
from search.results import answers, network
from search.results import example_sheet as sheet
from search.results.importance import tenths
from search.run import live, note
from search.schedulers import NoStopping

EPOCHS, IMAGES = 9, 60
SPACE: dict[str, BaseDistribution] = {
    "width": FloatDistribution(0.1, 1.2),
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "body": CategoricalDistribution(["resnet50", "convnext_base", "hrnet_w32"]),
}
BODY = ((0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (5, 6), (6, 7), (3, 8), (8, 9), (9, 10), (4, 11), (11, 12))
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Kind:
    """A task as far as it is shown, and what its answers are like.

    Attributes:
        metric: the error's identifier.
        unit: its unit.
        each_unit: that of the error of each image and label.
        labels: their names.
        edges: pairs of them.
        size: width and height of its pictures.
        scale: a typical error.
        answers: 'points', 'known points', 'numbers' or 'classes'.
        scored: whether it is ranked by the course's score.
    """

    metric: str
    unit: str
    each_unit: str
    labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    size: tuple[int, int]
    scale: float
    answers: str
    scored: bool = False

    def errors(self, outputs: Array, part: Part) -> Array:
        true = part.targets
        if self.answers == "classes":
            found = np.full(outputs.shape, np.nan)
            rows = np.arange(len(true))
            found[rows, true] = -np.log(outputs[rows, true])
            return found
        if self.answers == "numbers":
            return np.abs(outputs.astype(np.float64) - true)
        found = 100 * np.hypot(*np.moveaxis(outputs[..., :2].astype(np.float64) - true[..., :2], -1, 0))
        return np.where(true[..., 2] > 0, found, np.nan) if true.shape[2] == 3 else found

    def caption(self, output: Array, target: Array) -> str:
        if self.answers != "classes":
            return ""
        said = int(output.argmax())
        return f"{self.labels[said]} {output[said]:.2f}, true: {self.labels[int(target)]}"

    def picture(self, row: int) -> Array:
        wide, high = self.size
        image = Image.effect_noise((wide, high), 30).convert("RGB")
        pen = ImageDraw.Draw(image)
        pen.ellipse((wide * 0.2, high * 0.15, wide * 0.8, high * 0.85), fill=(90 + row % 100, 120, 140))
        return np.asarray(image)

    def part(self) -> Part:
        rng = np.random.default_rng(1)
        count = len(self.labels)
        angle = np.arange(count) * 2 * math.pi / count
        ring = 0.5 + np.stack([0.3 * np.cos(angle), 0.35 * np.sin(angle)], 1)
        points = ring + rng.normal(0, 0.02, (IMAGES, count, 2))
        targets: Array = {
            "points": points.astype(np.float32),
            "known points": np.concatenate([points, rng.random((IMAGES, count, 1)) > 0.2], 2).astype(np.float32),
            "numbers": rng.normal(0, 10 * self.scale, (IMAGES, count)).astype(np.float32),
            "classes": rng.integers(0, count, IMAGES),
        }[self.answers]
        if self.answers == "known points":
            targets[:, -1, 2] = 0  # one that no image has
            targets[:, 0, 2] = 1
        return Part(np.zeros((IMAGES, 1, 1, 3), np.uint8), np.arange(IMAGES) * 7, targets)

    def outputs(self, error: float, seed: int) -> Array:
        """What a network of so large an error answers for `part`; some images are hard for every network."""
        rng = np.random.default_rng(seed)
        part = self.part()
        hard = 0.5 + 1.5 * (np.arange(IMAGES) % 11 == 0) + rng.random(IMAGES) / 2
        if self.answers == "classes":
            count = len(self.labels)
            right = np.exp(-error * hard * rng.gamma(2, 0.5, IMAGES))
            wrong = rng.random((IMAGES, count))
            wrong[np.arange(IMAGES), part.targets] = 0
            told = wrong / wrong.sum(1, keepdims=True) * (1 - right)[:, None]
            told[np.arange(IMAGES), part.targets] = right
            return told
        if self.answers == "numbers":
            return part.targets + rng.normal(0, error, part.targets.shape) * hard[:, None]
        moved = rng.normal(0, error / 125, (*part.targets.shape[:2], 2)) * hard[:, None, None]
        return np.concatenate([part.targets[..., :2] + moved, rng.random((*part.targets.shape[:2], 1))], 2)


def numbered(word: str, count: int) -> tuple[str, ...]:
    return tuple(f"{word} {place + 1}" for place in range(count))


KINDS = {
    "robot": Kind(
        "rmse", "m", "m", tuple(f"{p} {a}" for p in ("palm", "thumb", "index", "little") for a in "xyz"), (),
        (224, 224), 0.003, "numbers",
    ),
    "three": Kind("log_loss", "nats", "nats", ("fist", "scale", "rotation"), (), (320, 180), 0.45, "classes"),
    "gestures": Kind(
        "log_loss", "nats", "nats", numbered("gesture of the left hand", 157), (), (320, 180), 2.1, "classes"
    ),
    "animals": Kind("ap_error", "", "% of box", numbered("joint", 17), BODY, (192, 256), 0.55, "known points"),
    "faces": Kind("pixel_diff", "px", "px", numbered("landmark", 68), (), (224, 224), 6.2, "points", scored=True),
}  # fmt: skip


def make(kind: Kind, name: str, out: Path, trials: int = 11) -> Source:
    """A study of that kind in `out`, with answers and pictures of its finished trials; others stopped, failed, run."""
    folder = out / name
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'study.db'}"
    storage = optuna.storages.RDBStorage(url)
    study = optuna.create_study(study_name=name, storage=storage)
    objective = CourseScore() if kind.scored else ErrorAlone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.name])
    how = {"trials": trials, "epochs": EPOCHS, "scheduler": "asha", "grace": 1, "reduction": 3, "seed": 0}
    told = {"metric": kind.metric, "unit": kind.unit, "data": "d", "search": how, "reference": None}
    for key, value in told.items():
        study.set_user_attr(key, value)
    rng = np.random.default_rng(0)
    made = []
    for number in range(trials):
        width, lr = rng.uniform(0.1, 1.2), 10 ** rng.uniform(-4, -2)
        params = {"width": width, "lr": lr, "body": str(rng.choice(["resnet50", "convnext_base", "hrnet_w32"]))}
        state = (["finished"] * 3 + ["stopped", "failed"])[number % 5] if number < trials - 1 else "running"
        epochs = EPOCHS if state == "finished" else 3
        end = kind.scale * (0.7 + 0.3 * rng.random() + 0.2 * math.log10(lr / 1e-3) ** 2)
        curve = [
            {
                "epoch": epoch, "error": end * (1 + 0.6 * math.exp(-epoch / 2)), "train_loss": 0.4 / epoch,
                "valid_loss": 0.5 / epoch, "lr": lr, "seconds": 4.0, "train_seconds": 3.5, "images": 640,
                "memory_mb": 900.0,
            }
            for epoch in range(1, epochs + 1)
        ]  # fmt: skip
        price = (round(24e6 * width**2), round(4e9 * width**2))
        read = {"params_m": price[0] / 1e6, "gflops": price[1] / 1e9}
        steps = {row["epoch"]: objective.value(read, row["error"]) for row in curve}
        attrs: dict[str, Any] = {**read, "budget": EPOCHS, "curve": curve}
        last = curve[-1]["error"]
        if state == "running":
            attrs["worker"] = "host 4711"
        else:
            attrs |= {kind.metric: last, "epochs": epochs, "seconds": 4.0 * epochs, "images_per_s": 182.0}
            attrs |= objective.attributes(read, last)
        if state == "failed":
            attrs["failed"] = "out of memory: a batch of 64 is too much for cuda"
        if state == "finished":
            found = answers.of(kind, kind.outputs(last, number), kind.part(), EPOCHS)  # type: ignore[arg-type]
            answers.save_pictures(found, kind, folder)  # type: ignore[arg-type]
            answers.save(found, folder, number)
        known = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
        made.append(
            create_trial(
                state=known.get(state, TrialState.RUNNING),
                value=steps[epochs] if state in ("finished", "stopped") else None,
                params=params,
                distributions=SPACE,
                user_attrs=attrs,
                intermediate_values=steps,
            )
        )
    for one in made:
        storage.create_new_trial(study._study_id, template_trial=one)
    storage.remove_session()
    storage.engine.dispose()
    return Source(name, name, folder, Reader(url, name), None, name, out, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    """A study of each kind."""
    out = tmp_path_factory.mktemp("runs")
    return {name: make(kind, name, out) for name, kind in KINDS.items()}


def shown(made: dict[str, Source], name: str, page: str, **more: Any) -> dict[str, Any]:
    """A page as the browser gets it, all studies being looked at."""
    views = {key: source.reader.read() for key, source in made.items()}
    answer = pages.page(made[name], views, page, href=lambda row: f"{row}.jpg", machine=Machine(), **more)
    read: dict[str, Any] = json.loads(replies.dump(answer))
    return read


def best(source: Source) -> int:
    return source.reader.read().entries[0].number


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (12.88, "12.88"), (6.153, "6.153"), (6.1, "6.100"), (9.9996, "10.00"), (123.456, "123.46"),
        (0.00217, "0.002170"),
        (0.4832, "0.4832"), (0.731, "0.7310"), (0.99999, "1.000"), (1e-4, "0.0001000"), (0.0000912, "9.120e-5"),
        (0.0, "0"), (-0.25, "-0.2500"), (999.996, "1,000"), (31415.9, "31,416"), (2.5e9, "2.500e9"),
        (math.inf, "inf"), (math.nan, "nan"),
    ],
)  # fmt: skip
def test_an_error_of_any_size_shows_its_first_digits(value: float, said: str) -> None:
    assert digits(value) == said
    if math.isfinite(value) and value:
        assert float(said.replace(",", "")) == pytest.approx(value, rel=5e-4)


def test_names_and_units() -> None:
    assert (measured(0.00217, "m"), measured(0.731)) == ("0.002170 m", "0.7310")
    assert (titled("RMSE", "m"), titled("log loss", "")) == ("RMSE [m]", "log loss")
    assert [named(metric) for metric in ("pixel_diff", "rmse", "log_loss", "ap_error", "mean_far_off")] == [
        "PixelDiff", "RMSE", "log loss", "1 - AP", "mean far off",
    ]  # fmt: skip


def test_numbers_without_zeros_at_the_end() -> None:
    shown = {6.1: "6.1", 0.004: "0.004", 28104.0: "28,104", 2.5e9: "2.5e9", 100.0: "100", 0.0: "0", 9.12e-5: "9.12e-5"}
    assert [compact(value) for value in shown] == list(shown.values())


def test_a_table_comes_with_the_same_digits(made: dict[str, Source]) -> None:
    view = made["robot"].reader.read()
    table = next(block for block in shown(made, "robot", "pareto")["blocks"] if block["kind"] == "table")
    place = [column["title"] for column in table["columns"]].index(view.error_title)
    assert len(table["rows"]) == len(view.entries)
    for row, entry in zip(table["rows"], view.entries, strict=True):
        assert row[place] == (None if entry.error is None else [entry.error, digits(entry.error)])


@pytest.mark.parametrize("name", KINDS)
def test_every_page_speaks_of_the_tasks_own_error(made: dict[str, Source], name: str) -> None:
    kind, source = KINDS[name], made[name]
    title = {"robot": "RMSE [m]", "three": "log loss [nats]", "gestures": "log loss [nats]", "animals": "1 - AP"}
    view = source.reader.read()
    assert view.error_title == title.get(name, "PixelDiff [px]")
    for page, _ in pages.PAGES:
        text = replies.dump(shown(made, name, page))
        assert view.error_name in text, page
        assert not re.search(r"\b0\.0+ (m|nats|px)\b", text), page  # digits lost
        if not kind.scored:
            assert not re.search(r"PixelDiff|\bpx\b|\bscore\b", text), page
    facts = {fact["name"]: fact["value"] for fact in shown(made, name, "pareto")["facts"]}
    least = min(entry.error or 0 for entry in view.entries if entry.state == "finished")
    assert facts[f"smallest {view.error_name}"] == measured(least, kind.unit)
    assert "best value" not in facts
    table = next(block for block in shown(made, name, "pareto")["blocks"] if block["kind"] == "table")
    columns = [column["title"] for column in table["columns"]]
    assert columns.count(view.error_title) == 1
    assert "value" not in columns
    assert ("score" in columns) == kind.scored


@pytest.mark.parametrize("name", KINDS)
def test_a_trials_page(made: dict[str, Source], name: str) -> None:
    kind, source = KINDS[name], made[name]
    blocks = {block["id"]: block for block in shown(made, name, "trial", number=best(source))["blocks"]}
    answered = answers.load(source.folder, best(source))
    assert answered is not None
    gallery = blocks["gallery"]["html"]
    assert gallery.count("<img") == 12
    assert f"aspect-ratio: {kind.size[0]} / {kind.size[1]}" in gallery
    assert gallery.count('class="over"') == (0 if kind.answers in ("numbers", "classes") else 12)
    for example in answered.examples:
        assert measured(example.error, kind.each_unit) in gallery
        assert (f'<div class="said">{example.said}</div>' in gallery) == (kind.answers == "classes")
    bars, curve = blocks["joints"]["figure"], blocks["pck"]["figure"]
    pointed = kind.answers in ("points", "known points")
    assert bars["layout"]["title"]["text"] == f"Error of each {'point' if pointed else 'label'}"
    assert bars["layout"]["xaxis"]["title"]["text"] == f"mean error [{kind.each_unit}]"
    assert ("distance" in curve["layout"]["xaxis"]["title"]["text"]) == pointed
    assert f"[{kind.each_unit}]" in curve["layout"]["xaxis"]["title"]["text"]


def test_a_recorded_network_is_shown_without_the_studys_file(made: dict[str, Source]) -> None:
    source = made["faces"]
    view, number = source.reader.read(), best(source)
    params = round(1e6 * (view.by_number[number].params_m or 0))

    def part(what: str) -> str:
        return str(pages.part(source, view, what, number, str)["html"])

    assert "studies/ has none named" in part("network")
    for count, recorded in ((params, True), (params + 1, False)):  # the other is another network's record
        layer = Layer("body.0", "Conv2d", (1, 8, 4, 4), count, 0, 64, 64, 128)
        stage = Stage("body.0", "convolution", 1, 8, (4, 4), 3, False, 1, False, count, 64)
        record = network.NetworkRecord(
            trial=number,
            arch="Arch()",
            cost=Cost(count, count, 64, (layer,)),
            plan=Plan((3, 8, 8), (stage,), (68, 2), (0, 0), count, 64),
        )
        file = network.file_of(source.folder, number)
        file.parent.mkdir(exist_ok=True)
        file.write_text(record.model_dump_json())
        assert ("<svg" in part("network")) == recorded
        assert ("Conv2d" in part("layers")) == recorded
    file.unlink()


def test_of_many_labels_the_worst_have_bars(made: dict[str, Source]) -> None:
    source = made["gestures"]
    answered = answers.load(source.folder, best(source))
    assert answered is not None
    drawn = errors.joints(answered)
    (bars,) = drawn.data
    worst = sorted((error for error in answered.errors if error is not None), reverse=True)[:40]
    assert list(bars.x) == worst
    by_name = dict(zip(answered.labels, answered.errors, strict=True))
    assert [by_name[name] for name in bars.text] == worst
    assert len(set(drawn.layout.yaxis.ticktext)) == 40
    assert "the 40 largest of 157" in drawn.layout.title.subtitle.text
    all_of_them = errors.joints(answers.load(made["faces"].folder, best(made["faces"])))
    assert list(all_of_them.layout.yaxis.ticktext) == list(KINDS["faces"].labels)


def test_a_label_of_no_image_has_no_bar(made: dict[str, Source]) -> None:
    answered = answers.load(made["animals"].folder, best(made["animals"]))
    assert answered is not None
    drawn = errors.joints(answered)
    assert drawn.data[0].x[16] is None
    assert drawn.layout.title.subtitle.text.endswith("in no image: joint 17")
    known = [error for error in answered.errors if error is not None]
    assert drawn.layout.shapes[0].x0 == pytest.approx(statistics.mean(known))


def test_the_hardest_images_are_those_that_counting_finds(made: dict[str, Source]) -> None:
    source = made["robot"]
    finished = [entry.number for entry in source.reader.read().entries if entry.state == "finished"]
    found = {number: answers.load(source.folder, number) for number in finished}
    counted = Counter(e.row for one in found.values() if one for e in one.examples if e.rank == "worst")
    often = {row: count for row, count in counted.items() if count > 1}
    told = hardest({number: one for number, one in found.items() if one is not None})
    assert {one.example.row: one.count for one in told} == often
    assert [one.count for one in told] == sorted(often.values(), reverse=True)
    for one in told:
        first = next(n for n in finished if one.example in found[n].examples)  # type: ignore[union-attr]
        assert first == one.trial
        failed = [
            e.error for f in found.values() if f for e in f.examples if (e.row, e.rank) == (one.example.row, "worst")
        ]
        assert one.error == pytest.approx(statistics.mean(failed))
    page = pages.part(source, source.reader.read(), "hardest", 0, lambda row: f"{row}.jpg")["html"]
    assert page.count("<img") == min(8, len(told))
    assert f"{told[0].count} of {len(finished)} trials" in page
    few = pages.part(source, source.reader.read().only(finished[:1]), "hardest", 0, str)["html"]
    assert "two finished trials" in few


def test_studies_judged_by_another_number_are_left_out_of_the_figures(made: dict[str, Source]) -> None:
    blocks = {block["id"]: block for block in shown(made, "three", "progress")["blocks"]}
    assert "3 other studies are" in blocks["others"]["html"]
    assert {trace["name"].split(":")[0] for trace in blocks["hypervolume"]["figure"]["data"]} == {"three", "gestures"}
    alone = {"robot": made["robot"]}
    assert "others" not in {block["id"] for block in shown(alone, "robot", "progress")["blocks"]}


def test_a_report_of_all_kinds(made: dict[str, Source], tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert report.write([made["animals"], made["three"]], file) >= 10
    page = file.read_text()
    boot = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    key = f"animals/hardest/{tenths(made['animals'].reader.read())}"
    assert "data:image/jpeg;base64," in boot["offline"][key]["html"]


def test_lines_notes_and_sheets(made: dict[str, Source]) -> None:
    for name, kind in KINDS.items():
        view = made[name].reader.read()
        first = view.entries[0]
        said = f"{named(kind.metric)} {measured(first.error or 0, kind.unit)} after 9 epochs"
        assert said in live.line(first, kind.metric, kind.unit)
        table = note.table([first], kind.metric, kind.unit).splitlines()
        assert len({line.count("|") for line in table}) == 1
        assert digits(first.error or 0) in table[2]
        assert ("score" in table[0], "value" in table[0]) == (kind.scored, False)
        answered = answers.load(made[name].folder, first.number)
        assert answered is not None
        paper = sheet.sheet(answered, made[name].folder, "title")
        assert paper.size == (1184, 982 + (66 if kind.answers == "classes" else 0))
    study: Any = SimpleNamespace(
        task=SimpleNamespace(metric="ap_error", unit=""), objective=ErrorAlone(), scheduler=NoStopping(), trials=1,
        epochs=1, under=None, gate=None, seed=0, bounds={}, readings=(PARAMS, FLOPS),
    )  # fmt: skip
    assert "the task's error: `ap_error`, over the whole validation part" in note.facts(study)


def test_answers_of_before_units_are_in_the_studys(made: dict[str, Source], tmp_path: Path) -> None:
    answered = answers.load(made["faces"].folder, best(made["faces"]))
    assert answered is not None
    file = answers.file(tmp_path, 3)
    file.parent.mkdir()
    file.write_text(json.dumps({name: value for name, value in asdict(answered).items() if name != "unit"}))
    old = answers.load(tmp_path, 3, "cm")
    assert old is not None
    for figure in (errors.joints(old), errors.pck({"a": old})):
        assert "[cm]" in figure.layout.xaxis.title.text
