"""The csv, against numbers placed by hand."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from data.tasks.freihand import FreiHand
from search.submission import csv_table as table

JOINTS = 21
LABELS = FreiHand.labels
NAMES = ["wrist", *(f"{f}_{p}" for f in ("thumb",) for p in ("cmc", "mcp", "ip", "tip"))]
NAMES += [f"{f}_{p}" for f in ("index", "middle", "ring", "pinky") for p in ("mcp", "pip", "dip", "tip")]
IDS = ["00000000.jpg", "00000001.jpg", "00000012.jpg"]
WIDE = ",".join(["id", *(f"{a}{j}" for j in range(JOINTS) for a in "xy")])
ZEROS = ",0" * 42
POINTS = np.arange(3 * JOINTS * 2, dtype=float).reshape(3, JOINTS, 2) + 0.25  # number (i * 21 + j) * 2 + axis


def number(image: int, joint: int, axis: int) -> str:
    return f"{(image * JOINTS + joint) * 2 + axis}.2500"


def sample(folder: Path, *lines: str) -> Path:
    file = folder / "sample.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_our_own_layout_and_back(tmp_path: Path) -> None:
    made = table.default(IDS, POINTS)
    assert made.header[:4] == ("id", "x0", "y0", "x1")
    assert made.header[-1] == "y20"
    assert made.rows[2] == ("00000012", *(number(2, j, a) for j in range(JOINTS) for a in (0, 1)))
    table.write(made, tmp_path / "out" / "submission.csv")
    text = (tmp_path / "out" / "submission.csv").read_text()
    assert text.splitlines()[1].startswith("00000000,0.2500,1.2500,2.2500")
    back = table.read(tmp_path / "out" / "submission.csv")
    assert (back.header, back.rows) == (made.header, made.rows)
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "submission.csv"]


ORDER = [(joint, axis) for joint in range(JOINTS) for axis in (0, 1)]
"""Joint and axis of the usual order of columns."""


@pytest.mark.parametrize(
    ("spell", "order", "rule"),
    [
        (lambda j, a: f"{'xy'[a]}{j}", ORDER, "joints numbered from 0"),
        (lambda j, a: f"{'xy'[a]}{j}", sorted(ORDER, key=lambda place: place[1]), "joints numbered from 0"),
        (lambda j, a: f"joint_{j + 1}_{'XY'[a]}", ORDER, "joints numbered from 1"),
        (lambda j, a: f"{'uv'[a]}_{j:02d}", ORDER[::-1], "joints numbered from 0"),
        (lambda j, a: f"{NAMES[j]}_{'xy'[a]}", ORDER, "joints by their names"),
        (lambda j, a: f"{'xy'[a]} {NAMES[j].replace('_', ' Finger ')}", ORDER[2:] + ORDER[:2], "joints by their names"),
    ],
)
def test_wide_samples(
    tmp_path: Path, spell: Callable[[int, int], str], order: list[tuple[int, int]], rule: str
) -> None:
    columns = [spell(joint, axis) for joint, axis in order]
    ids = ["12.png", "0", "00000001.jpg"]  # a number, a number, a name
    made = table.like(
        sample(tmp_path, ",".join(["image_id", *columns]), *(name + ZEROS for name in ids)), IDS, POINTS, LABELS
    )
    assert made.layout is not None
    assert made.layout.rule == f"a row an image, {rule}"
    assert made.header == ("image_id", *columns)
    for row, name, image in zip(made.rows, ids, (2, 0, 1), strict=True):
        assert row == (name, *(number(image, joint, axis) for joint, axis in order))


@pytest.mark.parametrize(
    ("form", "first", "values"),
    [
        ("{image}_{joint}_{axis}", 0, 1),
        ("{image}_{axis}{joint}", 1, 1),
        ("{image}_{name}_{axis}", 0, 1),
        ("{image}_{joint}", 0, 2),
        ("{image}-{name}", 0, 2),
        ("{image},{joint}", 1, 2),
    ],
)
def test_long_samples(tmp_path: Path, form: str, first: int, values: int) -> None:
    keys = [(i, j, a) for i in range(3) for j in range(JOINTS) for a in range(2 if values == 1 else 1)]
    random.Random(0).shuffle(keys)
    stems = [name.removesuffix(".jpg") for name in IDS]
    texts = [form.format(image=stems[i], joint=j + first, name=NAMES[j], axis="xy"[a]) for i, j, a in keys]
    header = ("image,joint" if "," in form else "id") + (",value" if values == 1 else ",x,y")
    made = table.like(sample(tmp_path, header, *(text + ",0" * values for text in texts)), IDS, POINTS, LABELS)
    assert [",".join(row[: len(row) - values]) for row in made.rows] == texts
    for row, (i, j, a) in zip(made.rows, keys, strict=True):
        assert row[-values:] == ((number(i, j, a),) if values == 1 else (number(i, j, 0), number(i, j, 1)))


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "has no header"),
        ([WIDE], "a header and no rows"),
        ([WIDE, "0" + ZEROS, "1" + ZEROS], "lists 2 of the 3 test images and not 00000012.jpg"),
        ([WIDE, *(f"{i}{ZEROS}" for i in (0, 1, 12, 13))], "row 4: no test image is called '13'"),
        ([WIDE, *(f"{i}{ZEROS}" for i in (0, 1, 12, "00000001"))], "row 2: '1' is listed twice"),
        ([WIDE, "0" + ZEROS, "1,0"], "line 3: 2 cells where the header has 43"),
        ([WIDE.replace("x7", "score"), "0" + ZEROS], "column 'score' is neither x nor y of a joint"),
        ([WIDE.replace("x7", "x8"), "0" + ZEROS], "two columns 'x8'"),
        ([WIDE.replace("x7", "x08"), "0" + ZEROS], "numbers its joints"),
        ([WIDE + ",Usage", "0,0" + ZEROS], "column 'Usage' is neither x nor y"),
        ([WIDE.replace("id,", "x99,"), "0" + ZEROS], "the first column is 'x99'"),
        ([WIDE.replace(",x20,y20", ""), "0" + ",0" * 40], "40 columns after 'id', but 21 joints have 42"),
        ([WIDE.replace("x0,y0", "palm_x,palm_y"), "0" + ZEROS], "is no joint's name or number"),
        (["id,value", "00000000,0"], "row 1: '00000000' does not name the image, the joint and x or y"),
        (["id,x,y", *(f"{i}_{j},0,0" for i in (0, 1) for j in range(21)), "12_0,0,0"], "'12' has 1 rows instead of 21"),
        (["id,x,y", *(f"{i}_{j},0,0" for i in (0, 1, 12) for j in range(20))], "numbers its joints 0 to 19"),
        (["image,colour,x,y", "0,1,0,0"], "nobody knows what column 'colour' is"),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, lines: list[str], why: str) -> None:
    file = sample(tmp_path, *lines)
    with pytest.raises(UserError) as refused:
        table.like(file, IDS, POINTS, LABELS)
    message = str(refused.value)
    assert why in message
    assert str(file) in message
    assert message.endswith(".")
    assert "\n" not in message


def test_names_that_may_be_two_images(tmp_path: Path) -> None:
    ids = ["1.jpg", "01.jpg", "b.jpg"]
    file = sample(tmp_path, WIDE, *(name + ZEROS for name in ("001", "01", "b")))
    with pytest.raises(UserError, match=r"row 1: '001' may be 1\.jpg and 01\.jpg"):
        table.like(file, ids, POINTS, LABELS)
    file = sample(tmp_path, WIDE, *(name + ZEROS for name in ("01", "1", "b")))  # exact names come first
    assert [row[1] for row in table.like(file, ids, POINTS, LABELS).rows] == [number(i, 0, 0) for i in (1, 0, 2)]
    with pytest.raises(UserError, match="two test images are called a but for the ending"):
        table.default(["a.jpg", "a.png", "b.png"], POINTS)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        table.like(tmp_path / "none.csv", IDS, POINTS, LABELS)
    (tmp_path / "latin.csv").write_bytes("id,é\n".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        table.read(tmp_path / "latin.csv")
    for mark in (";", "\t"):
        (tmp_path / "other.csv").write_text(f"id{mark}x0{mark}y0\na{mark}1,5{mark}2\n")
        with pytest.raises(UserError, match=r"has '.+' between its columns, and must have commas; .+\.$"):
            table.read(tmp_path / "other.csv")
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbfid,x0\r\na, 1\r\n\r\n")
    assert table.read(tmp_path / "bom.csv").rows == (("a", "1"),)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        table.write(table.default(IDS, POINTS), tmp_path / "folder")
    assert not list((tmp_path / "folder").iterdir())
    with pytest.raises(ValueError, match="not finite"):
        table.default(IDS, POINTS * np.nan)
