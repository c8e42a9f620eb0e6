"""What is kept of a trial's answers, against counts by hand; and files that are whole or None."""

import json
import multiprocessing
import os
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.drawn.skeleton import HAND_EDGES
from data.storage.pack import Part
from data.tasks.freihand import FreiHand
from search.results import answers
from search.results.answers import Answers

HOSTILE = ("wrist", "<script>alert(1)</script>", 'a"b\\', "$(reboot)\n| é")


@dataclass(frozen=True)
class Dots:
    """A task of four points in a unit frame of 10, whose pictures are flat and say their row."""

    labels: tuple[str, ...] = HOSTILE
    edges: tuple[tuple[int, int], ...] = ((0, 1), (1, 2))
    each_unit: str = "cm"

    def errors(self, outputs: Any, part: Part) -> Any:
        return 10 * np.hypot(*np.moveaxis(outputs.astype(np.float64) - part.targets, -1, 0))

    def caption(self, output: Any, target: Any) -> str:
        return f"{float(np.sum(output)):.3f} for {float(np.sum(target)):.3f}"

    def picture(self, row: int) -> Any:
        return np.full((16, 24, 3), row % 256, np.uint8)


def part(count: int) -> Part:
    points = np.random.default_rng(count).random((count, 4, 2)).astype(np.float32)
    return Part(np.zeros((count, 1, 1, 3), np.uint8), np.arange(count) * 2 + 1, points)


def made(count: int = 40, seed: int = 0) -> tuple[Answers, Part, Any]:
    valid = part(count)
    rng = np.random.default_rng(seed)
    moved = rng.normal(0, 0.1, valid.targets.shape) * rng.gamma(2, 0.5, (count, 1, 1))
    outputs = (valid.targets + moved).astype(np.float32)
    return answers.of(Dots(), outputs, valid, 3), valid, outputs  # type: ignore[arg-type]


def by_hand(outputs: Any, points: Any) -> list[list[float]]:
    return [
        [((float(a) - float(c)) ** 2 + (float(b) - float(d)) ** 2) ** 0.5 * 10 for (a, b), (c, d) in zip(*pair)]  # noqa: B905
        for pair in zip(outputs, points, strict=True)
    ]


def test_errors_and_quantiles_are_those_counted_by_hand() -> None:
    found, valid, outputs = made()
    errors = by_hand(outputs, valid.targets)
    assert found.epoch == 3
    assert found.errors == pytest.approx([statistics.mean(row[p] for row in errors) for p in range(4)], rel=1e-5)
    everything = sorted(error for row in errors for error in row)
    expected = []
    for step in range(201):  # linear interpolation between order statistics
        place = step / 200 * (len(everything) - 1)
        low = int(place)
        high = min(low + 1, len(everything) - 1)
        expected.append(everything[low] + (place - low) * (everything[high] - everything[low]))
    assert found.quantiles == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 10, 11, 12, 13, 40, 41])
def test_examples_are_the_best_the_middle_and_the_worst_each_once(count: int) -> None:
    found, valid, outputs = made(count)
    means = {
        int(row): statistics.mean(error) for row, error in zip(valid.rows, by_hand(outputs, valid.targets), strict=True)
    }
    ordered = sorted(means, key=means.__getitem__)
    rows = {rank: [e.row for e in found.examples if e.rank == rank] for rank in answers.RANKS}
    assert [e.row for e in found.examples] == rows["best"] + rows["median"] + rows["worst"]
    assert len({e.row for e in found.examples}) == len(found.examples) == min(count, 12)
    assert [e.error for e in found.examples] == pytest.approx([means[e.row] for e in found.examples], rel=1e-5)
    assert rows["best"] == ordered[: len(rows["best"])]
    assert rows["worst"] == ordered[len(ordered) - len(rows["worst"]) :]
    if count >= 12:
        assert {len(chosen) for chosen in rows.values()} == {4}
        below, above = ordered.index(rows["median"][0]), count - 1 - ordered.index(rows["median"][-1])
        assert abs(below - above) <= 1
        assert rows["median"] == ordered[below : below + 4]
    else:
        assert max(map(len, rows.values())) - min(map(len, rows.values())) <= 1
    assert found.unit == "cm"
    for example in found.examples:
        index = (example.row - 1) // 2
        assert example.said == f"{outputs[index].sum():.3f} for {valid.targets[index].sum():.3f}"
        np.testing.assert_allclose(example.answered, outputs[index], atol=1e-5)
        np.testing.assert_allclose(example.true, valid.targets[index], atol=1e-5)


def test_what_is_saved_is_what_is_loaded_hostile_names_included(tmp_path: Path) -> None:
    found, _, _ = made()
    answers.save(found, tmp_path, 7)
    assert answers.file(tmp_path, 7) == tmp_path / "answers" / "000007.json"
    assert answers.load(tmp_path, 7) == found
    assert tuple(answers.load(tmp_path, 7).labels) == HOSTILE  # type: ignore[union-attr]
    assert [file.name for file in (tmp_path / "answers").iterdir()] == ["000007.json"]
    assert answers.load(tmp_path, 8) is None


def test_answers_that_are_no_points_of_a_picture_have_no_places() -> None:
    class Numbers(Dots):
        def errors(self, outputs: Any, part: Part) -> Any:
            return np.abs(outputs - part.targets)

    targets = np.zeros((5, 2), np.float32)
    valid = Part(np.zeros((5, 1, 1, 3), np.uint8), np.arange(5), targets)
    task: Any = Numbers(("a", "b"), ())
    found = answers.of(task, np.ones((5, 2), np.float32), valid, 1)
    assert [(e.answered, e.true) for e in found.examples] == [([], [])] * 5
    assert not found.pointed
    assert found.errors == [1, 1]


@dataclass(frozen=True)
class Some(Dots):
    """Points of which some are not known, and then have no error; the third column of what is answered is a score."""

    def errors(self, outputs: Any, part: Part) -> Any:
        far = 10 * np.hypot(*np.moveaxis(outputs[..., :2].astype(np.float64) - part.targets[..., :2], -1, 0))
        return np.where(part.targets[..., 2] > 0, far, np.nan)


def test_labels_that_an_image_does_not_have_are_left_out() -> None:
    rng = np.random.default_rng(0)
    true = np.concatenate([rng.random((30, 4, 2)), rng.integers(0, 2, (30, 4, 1))], 2).astype(np.float32)
    true[:, 0, 2], true[:, 3, 2] = 1, 0  # every image has the first point, none the last
    true[7, :, 2] = 0  # but for one that has none at all, and is not judged
    outputs = np.concatenate([true[..., :2] + rng.normal(0, 0.1, (30, 4, 2)), rng.random((30, 4, 1))], 2)
    valid = Part(np.zeros((30, 1, 1, 3), np.uint8), np.arange(30), true)
    found = answers.of(Some(), outputs, valid, 1)  # type: ignore[arg-type]
    known = [
        [(p, 10 * float(np.hypot(*(outputs[i, p, :2] - true[i, p, :2])))) for p in range(4) if true[i, p, 2]]
        for i in range(30)
    ]
    by_label = [[error for image in known for place, error in image if place == p] for p in range(4)]
    assert found.errors[:3] == pytest.approx([statistics.mean(errors) for errors in by_label[:3]], rel=1e-5)
    assert found.errors[3] is None
    everything = sorted(error for image in known for _, error in image)
    assert (found.quantiles[0], found.quantiles[-1]) == pytest.approx((everything[0], everything[-1]), rel=1e-5)
    assert found.quantiles[100] == pytest.approx(statistics.median(everything), rel=1e-5)
    means = {i: statistics.mean(error for _, error in image) for i, image in enumerate(known) if image}
    ordered = sorted(means, key=means.__getitem__)
    assert 7 not in means
    assert [e.row for e in found.examples if e.rank == "worst"] == ordered[-4:]
    for example in found.examples:
        assert example.error == pytest.approx(means[example.row], rel=1e-5)
        np.testing.assert_allclose(example.answered, outputs[example.row, :, :2], atol=1e-5)
        assert [point is not None for point in example.true] == true[example.row, :, 2].astype(bool).tolist()


def test_what_is_not_known_survives_the_file(tmp_path: Path) -> None:
    found, _, _ = made()
    some = replace(found.examples[0], true=[None, *found.examples[0].true[1:]], said=HOSTILE[1])
    odd = replace(found, errors=[None, *found.errors[1:]], examples=[some], unit="")
    answers.save(odd, tmp_path, 1)
    assert answers.load(tmp_path, 1) == odd


def test_a_file_of_before_units_and_words_is_still_read(tmp_path: Path) -> None:
    found, _, _ = made()
    old = asdict(found)
    del old["unit"]
    for example in old["examples"]:
        del example["said"]
    file = answers.file(tmp_path, 1)
    file.parent.mkdir()
    file.write_text(json.dumps(old))
    read = answers.load(tmp_path, 1, "cm")
    assert read == replace(found, unit="cm", examples=[replace(example, said="") for example in found.examples])


def test_the_sides_of_a_picture(tmp_path: Path) -> None:
    found, _, _ = made()
    answers.save_pictures(found, Dots(), tmp_path)  # type: ignore[arg-type]
    assert answers.sides(tmp_path, found.examples[0].row) == (24, 16)
    assert answers.sides(tmp_path, 10**6) == (1, 1)


def test_all_trials_answer_the_same_images() -> None:
    (one, valid, _), (other, _, outputs) = made(40, 0), made(40, 1)
    assert (
        [e.row for e in one.shared]
        == [e.row for e in other.shared]
        == [int(valid.rows[i]) for i in (0, 8, 16, 23, 31, 39)]
    )
    means = {int(row): np.mean(errors) for row, errors in zip(valid.rows, by_hand(outputs, valid.targets), strict=True)}
    assert [e.error for e in other.shared] == pytest.approx([means[e.row] for e in other.shared], rel=1e-5)
    assert [e.row for e in made(3)[0].shared] == [1, 3, 5]


def spoilt() -> list[bytes]:
    good = asdict(made()[0])
    changes: list[dict[str, Any]] = [
        {"quantiles": good["quantiles"][1:]},
        {"quantiles": [float("nan")] * 201},
        {"errors": [1.0]},
        {"errors": ["1", "2", "3", "4"]},
        {"errors": [10**400, 1, 1, 1]},
        {"edges": [[0, 4]]},
        {"edges": [[0, 1, 2]]},
        {"edges": 5},
        {"examples": [{**good["examples"][0], "rank": "../../x"}]},
        {"examples": [{**good["examples"][0], "row": -1}]},
        {"examples": [{**good["examples"][0], "row": "../x"}]},
        {"examples": [{**good["examples"][0], "row": float("inf")}]},
        {"examples": [{**good["examples"][0], "answered": [[0, 0]]}]},
        {"examples": [{**good["examples"][0], "true": [[0, 0, 0]] * 4}]},
        {"examples": [{**good["examples"][0], "answered": [None] * 4}]},
        {"errors": [None] * 3},
        {"epoch": None},
    ]
    text = json.dumps(good).encode()
    broken = [b"", b"{}", b"[]", b"5", text[:-20], b"\xff\xfe" + text, b"[" * 100_000]
    missing = [
        json.dumps({k: v for k, v in good.items() if k != key}).encode() for key in good.keys() - {"unit", "shared"}
    ]
    return broken + missing + [json.dumps({**good, **change}).encode() for change in changes]


@pytest.mark.parametrize("content", spoilt())
def test_a_file_that_is_not_what_was_saved_is_none(tmp_path: Path, content: bytes) -> None:
    file = answers.file(tmp_path, 1)
    file.parent.mkdir()
    file.write_bytes(content)
    assert answers.load(tmp_path, 1) is None


def write_for_ever(folder: Path, first: Answers, second: Answers) -> None:
    while True:
        for found in (first, second):
            answers.save(found, folder, 1)
            answers.save_pictures(found, Dots(), folder)  # type: ignore[arg-type]
            for example in found.pictured:
                answers.picture(folder, example.row).unlink(missing_ok=True)


def test_a_reader_meets_the_old_or_the_new_whoever_is_killed(tmp_path: Path) -> None:
    first, second = made(40, 0)[0], made(4000, 1)[0]
    answers.save(first, tmp_path, 1)
    writer = multiprocessing.get_context("fork").Process(target=write_for_ever, args=(tmp_path, first, second))
    writer.start()
    seen = set()
    while len(seen) < 2 or writer.exitcode is None:
        assert writer.exitcode is None or len(seen) == 2, "the writer failed"
        found = answers.load(tmp_path, 1)
        assert found in (first, second)
        seen.add(found.examples[0].row)  # type: ignore[union-attr]
        for file in (tmp_path / "pictures").glob("*.jpg"):
            try:
                with Image.open(file) as image:
                    image.load()
            except FileNotFoundError:
                pass
        if len(seen) == 2:
            writer.kill()
            writer.join()
    answers.save(second, tmp_path, 1)
    (tmp_path / "pictures" / f"9@{os.uname().nodename}@{writer.pid}.half").touch()
    answers.sweep(tmp_path)
    left = {file.name for folder in ("answers", "pictures") for file in (tmp_path / folder).iterdir()}
    assert left <= {"000001.json"} | {f"{example.row}.jpg" for example in second.pictured}


def test_pictures_are_written_once_and_those_no_trial_shows_are_swept(tmp_path: Path) -> None:
    found, other = made(40, 0)[0], made(40, 1)[0]
    for shown in (found, other):
        answers.save_pictures(shown, Dots(), tmp_path)  # type: ignore[arg-type]
    for example in found.examples:
        with Image.open(answers.picture(tmp_path, example.row)) as image:
            assert image.format == "JPEG"
            assert image.size == (24, 16)
            assert np.abs(np.asarray(image).astype(int) - example.row).max() <= 2
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "pictures").iterdir()}

    class Unasked(Dots):
        def picture(self, row: int) -> Any:
            pytest.fail(f"picture {row} was drawn again")

    answers.save_pictures(found, Unasked(), tmp_path)  # type: ignore[arg-type]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    answers.save(other, tmp_path, 5)
    answers.sweep(tmp_path)
    assert {file.name for file in (tmp_path / "pictures").iterdir()} == {f"{e.row}.jpg" for e in other.pictured}
    assert answers.load(tmp_path, 5) == other


def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    found, _, _ = made()
    answers.save(found, tmp_path, 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        answers.save(replace(found, errors=[float("nan")] * 4), tmp_path, 1)
    assert answers.load(tmp_path, 1) == found
    assert len(list((tmp_path / "answers").iterdir())) == 1


def test_freihand_names_its_points_and_joins_the_bones(painted: Any) -> None:
    task = FreiHand(painted.root)
    assert (len(task.labels), task.labels[0], task.labels[4], task.labels[5], task.labels[20]) == (
        21,
        "wrist",
        "thumb 4",
        "index 1",
        "little 4",
    )
    assert task.edges == HAND_EDGES
    for a, b in task.edges:  # a bone joins the wrist with a finger's first joint, or two neighbours of one finger
        assert task.labels[b].split()[0] == task.labels[a].split()[0] or (a == 0 and task.labels[b].endswith(" 1"))
    rng = np.random.default_rng(0)
    outputs, points = rng.random((5, 21, 2)).astype(np.float32), rng.random((5, 21, 2))
    five = Part(np.zeros((5, 1, 1, 3), np.uint8), np.arange(5), points)
    errors = task.errors(outputs, five)
    assert errors.dtype == np.float64
    assert errors == pytest.approx(np.array(by_hand(outputs, points)) * 22.4)
    assert task.error(outputs, five) == errors.mean()
    with Image.open(painted.image(11)) as image:
        assert np.array_equal(task.picture(11), np.asarray(image))
    part = task.split(56).valid
    found = answers.of(task, part.targets + np.float32(0.1), part, 1)
    assert found.errors == pytest.approx([22.4 * 2**0.5] * 21, rel=1e-4)
    assert found.quantiles[0] == pytest.approx(found.quantiles[-1], rel=1e-4)
    assert (found.unit, {example.said for example in found.examples}) == ("px", {""})
