"""Keypoints of any photograph: the same numbers as in evaluation, in the photograph's own pixels."""

import csv
import inspect
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from data.drawn.skeleton import HAND_EDGES
from data.errors import UserError
from data.layouts import boxes
from data.layouts.annotations import Instance
from data.layouts.boxes import Boxed
from data.storage import image as image_module
from data.storage.crops import cut, frames, pixels
from data.tasks.freihand import FreiHand
from data.tasks.keypoints import Keypoints, animals
from models.net import Arch
from search.after.model import Model
from search.after.predict import Prediction, as_csv, as_json, overlay, overlays, predict, upright
from search.after.preprocessing import Preprocessing
from search.results.skeleton import skeleton
from search.run.training.fit import judge
from search.study import Config, Training
from search.submission import course_images
from tests.conftest import Painted


def model(net: nn.Module, size: Any, task: Any = None, channels: int = 3) -> Model:
    """As much of a model as prediction needs."""
    sides = (size, size) if isinstance(size, int) else size
    config = SimpleNamespace(arch=SimpleNamespace(size=size, input_shape=(channels, *sides)))
    task = task or FreiHand()
    seen = Preprocessing.of(task) or task.inputs
    folder, margin = Path("runs/s/models/000001"), getattr(task, "margin", None)
    return cast(Model, SimpleNamespace(net=net, config=config, preprocess=seen, folder=folder, margin=margin))


class Brightest(nn.Module):
    """The centre of what is bright, as two points in [0, 1]: first all channels, then red alone."""

    def forward(self, images: Tensor) -> Tensor:
        lit = (images > 0.9).float()
        return torch.stack([self.centre(lit.amin(1)), self.centre(lit[:, 0])], 1)

    def centre(self, lit: Tensor) -> Tensor:
        total = lit.sum((1, 2)).clamp(min=1)
        across, down = ((torch.arange(side) + 0.5) / side for side in (lit.shape[2], lit.shape[1]))
        return torch.stack([(lit.sum(1) * across).sum(1) / total, (lit.sum(2) * down).sum(1) / total], 1)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("size", [48, 128])
def test_the_evaluations_own_answers(painted: Painted, size: int) -> None:
    task = FreiHand(root=painted.root, folds=3, blocks=6, gap=0)
    torch.manual_seed(0)
    config = Config(Arch(21, 0.2, 32, size, "direct", squeeze=0.0), Training(lr=1e-3))
    net = config.arch.build().eval()
    part = task.split(size).valid
    outputs, _ = judge(task, net, config, part, torch.device("cpu"))
    found = predict(model(net, size, task), [painted.image(row) for row in part.rows])
    assert float(outputs.std(0).max()) > 1e-4
    assert [prediction.size for prediction in found] == [(224, 224)] * len(part.rows)
    np.testing.assert_array_equal(
        np.stack([prediction.points for prediction in found]), 224 * outputs.astype(np.float64) - 0.5
    )


def annotated(root: Path) -> Path:
    """Three noisy photographs with two objects each, in COCO's layout; one object leaves its photograph."""
    random = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(3):
        width, height = 200 + 40 * number, 180
        noise = random.integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((width, height)).save(root / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        for place, box in enumerate(([20, 30, 70, 50], [110, 90.5, 60, 110])):
            points = [value for _ in range(3) for value in (*random.uniform(30, 90, 2).tolist(), 2)]
            more = {"id": 10 * number + place, "image_id": number, "category_id": 1, "area": 1, "iscrowd": 0}
            annotations.append(more | {"bbox": box, "keypoints": points, "num_keypoints": 3})
    category = {"id": 1, "name": "thing", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2]]}
    (root / "annotations").mkdir()
    whole = {"images": images, "annotations": annotations, "categories": [category]}
    (root / "annotations" / "train.json").write_text(json.dumps(whole))
    return root


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("context", [1.0, 1.5])
def test_an_object_in_its_annotated_box_gets_the_evaluations_own_answer(tmp_path: Path, context: float) -> None:
    task = Keypoints(annotated(tmp_path), metric="pixel_diff", context=context, folds=3)
    torch.manual_seed(0)
    config = Config(Arch(3, 0.3, 32, 48, "direct", squeeze=0.0), Training(lr=1e-3))
    net, part = config.arch.build().eval(), task.split(48).train
    outputs, _ = judge(task, net, config, part, torch.device("cpu"))
    assert float(outputs[..., :2].std(0).max()) > 1e-4
    instances = [task._read().usable[row] for row in part.rows]
    wanted = pixels(outputs[..., :2].astype(np.float64), frames(instances, task.margin))
    photographs = sorted((tmp_path / "images").iterdir())
    objects, notes = boxes.read(tmp_path / "annotations" / "train.json", photographs)
    assert (len(objects), notes) == (6, ())
    found = {int(each.boxed.name): each for each in predict(model(net, 48, task), photographs, objects) if each.boxed}
    np.testing.assert_allclose(np.stack([found[each.id].points for each in instances]), wanted, atol=1e-4)
    assert found[11].file == photographs[1]
    assert found[11].size == (240, 180)


BOXES = "file,x,y,w,h,score\n"


def test_boxes_as_a_table_or_as_a_list(tmp_path: Path) -> None:
    photographs = [tmp_path / "a" / "one.jpg", tmp_path / "b" / "two.png"]
    (tmp_path / "boxes.csv").write_text(f"{BOXES}two.png,1,2,3.5,4,0.9\ntwo,5,6,7,8,0.1\n")
    objects, notes = boxes.read(tmp_path / "boxes.csv", photographs)
    assert [(each.file, each.name, each.box) for each in objects] == [
        (photographs[1], "0", (1, 2, 3.5, 4)),
        (photographs[1], "1", (5, 6, 7, 8)),
    ]
    assert notes == (f"1 of 2 photographs have no box and are left out, {photographs[0]} first",)
    listed = [{"file_name": "a/one.jpg", "bbox": [1, 2, 3, 4]}, {"file": "two.png", "id": "left", "bbox": [1, 2, 3, 4]}]
    (tmp_path / "boxes.json").write_text(json.dumps(listed))
    objects, notes = boxes.read(tmp_path / "boxes.json", photographs)
    assert [(each.file, each.name) for each in objects] == [(photographs[0], "0"), (photographs[1], "left")]
    assert notes == ()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.csv", "x,y,w,h\n1,2,3,4\n", "must have the columns file, x, y, w and h"),
        ("a.csv", f"{BOXES}three.jpg,1,2,3,4,1\n", "line 2: 'three.jpg' is none of the 2 photographs"),
        ("a.csv", f"{BOXES}one.jpg,1,2,0,4,1\n", "line 2: .* are no x, y, width and height"),
        ("a.csv", f"{BOXES}one.jpg,1,2,inf,4,1\n", "line 2: .* are no x, y, width and height"),
        ("a.csv", f"{BOXES}one.jpg,1,2\n", "line 2: .* are no x, y, width and height"),
        ("a.csv", BOXES, "holds no box; without --boxes"),
        ("a.csv", "file,name,x,y,w,h\none.jpg,n,1,2,3,4\none.jpg,n,1,2,3,4\n", "names 'n' twice in one.jpg"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "{}", 'has no list of "annotations"'),
        ("a.json", '[{"bbox": [1, 2, 3, 4]}]', 'annotation 0: it lacks its "bbox", or'),
        ("a.json", '[{"file": "one.jpg", "bbox": [1, 2, 3]}]', "annotation 0: .* are no x, y"),
        ("none.json", None, "cannot be read"),
    ],
)
def test_boxes_that_are_none(tmp_path: Path, name: str, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=why) as refused:
        boxes.read(tmp_path / name, [tmp_path / "one.jpg", tmp_path / "two.jpg"])
    assert str(refused.value).endswith(".")


def test_every_object_is_named_and_drawn(tmp_path: Path) -> None:
    file = tmp_path / "two.png"
    picture = Image.new("RGB", (300, 200))
    for x, y in ((60, 100), (240, 50)):
        picture.paste(spot(9, 9, 4, 4, 4), (x - 4, y - 4))
    picture.save(file)
    around = [Boxed(file, name, (x - 30, y - 30, 60, 60)) for name, x, y in (("left", 60, 100), ("right", 240, 50))]
    hands = model(Brightest(), 112)
    found = predict(hands, [file], around)
    np.testing.assert_allclose([each.points[0] for each in found], [(60, 100), (240, 50)], atol=0.5)
    rows = list(csv.reader(io.StringIO(as_csv(found))))
    assert rows[0][:4] == ["file", "name", "width", "height"]
    assert [row[1] for row in rows[1:]] == ["left", "right"]
    listed = json.loads(as_json(found, ("a", "b"), ()))["predictions"]
    assert [(each["name"], each["bbox"]) for each in listed] == [
        ("left", [30, 70, 60, 60]),
        ("right", [210, 20, 60, 60]),
    ]
    overlays(found, ((0, 1),), tmp_path / "seen")
    drawn, before = (np.asarray(image).astype(int) for image in (Image.open(tmp_path / "seen" / "two.png"), picture))
    for x, y in ((60, 100), (240, 50)):
        assert (abs(drawn - before)[y - 4 : y + 5, x - 4 : x + 5] > 60).any()
    whole = cast(Model, SimpleNamespace(**(vars(hands) | {"margin": None})))
    with pytest.raises(UserError, match="was trained on whole pictures, not on objects in boxes; leave --boxes out"):
        predict(whole, [file], around)


def spot(width: int, height: int, x: int, y: int, reach: int, mode: str = "RGB") -> Image.Image:
    """A white square on black about the pixel (x, y)."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[y - reach : y + reach + 1, x - reach : x + reach + 1] = 255
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(
    ("width", "height", "x", "y", "reach"),
    [(224, 224, 60, 150, 8), (640, 360, 500, 90, 24), (100, 300, 50, 20, 12), (5000, 3001, 1200, 2500, 150)],
)
def test_places_in_pictures_of_any_size(tmp_path: Path, width: int, height: int, x: int, y: int, reach: int) -> None:
    spot(width, height, x, y, reach).save(tmp_path / "a.png")
    (found,) = predict(model(Brightest(), 112), [tmp_path / "a.png"])
    assert found.size == (width, height)
    pixel = max(1, max(width, height) / 112)  # of the network's input
    np.testing.assert_allclose(found.points, [[x, y]] * 2, atol=pixel / 2)


class Scored(Brightest):
    """The same with a score beside each point."""

    def forward(self, images: Tensor) -> Tensor:
        points = super().forward(images)
        return torch.cat([points, torch.ones_like(points[..., :1])], 2)


@pytest.mark.parametrize("size", [128, (128, 96), (96, 128)])
def test_places_where_only_the_middle_of_a_picture_is_seen(tmp_path: Path, size: Any) -> None:
    """Inputs of animals are cut out of wider pictures, and need not be square."""
    for number, (width, height, x, y, reach) in enumerate(
        [(640, 360, 20, 340, 15), (640, 360, 600, 90, 15), (300, 700, 260, 12, 10), (224, 224, 9, 200, 6)]
    ):
        file = tmp_path / f"{number}.png"
        spot(width, height, x, y, reach).save(file)
        (found,) = predict(model(Scored(), size, animals()), [file])
        pixel = max(width, height) / 96
        np.testing.assert_allclose(found.points, [[x, y]] * 2, atol=pixel)


class Numbers(nn.Module):
    """Twelve numbers for a picture."""

    def forward(self, images: Tensor) -> Tensor:
        return images.new_zeros(len(images), 12)


def test_a_network_that_finds_no_points_is_refused_before_a_file_is_opened(tmp_path: Path) -> None:
    missing = [tmp_path / "none.jpg"]
    with pytest.raises(UserError, match=r"000001 answers 12 numbers and no points; predict needs .* in photographs\.$"):
        predict(model(Numbers(), 64), missing)
    with pytest.raises(UserError, match=r"000001 sees 12 channels and a photograph has 3; predict needs .*\.$"):
        predict(model(Brightest(), 64, channels=12), missing)


def test_order_among_different_sizes(tmp_path: Path) -> None:
    sizes = [(224, 224), (300, 200), (100, 100), (224, 224), (90, 100)]
    files = [tmp_path / f"{i}.png" for i in range(5)]
    for i, (file, (width, height)) in enumerate(zip(files, sizes, strict=True)):
        spot(width, height, 30 + 10 * i, 40, 9).save(file)
    found = predict(model(Brightest(), 112), files)
    assert [prediction.file for prediction in found] == files
    np.testing.assert_allclose([p.points[0, 0] for p in found], [30, 40, 50, 60, 70], atol=2)


def test_modes_and_orientation(tmp_path: Path) -> None:
    plain = spot(200, 200, 150, 60, 10)
    white = Image.new("RGBA", (200, 200), (255, 255, 255, 255))
    shown = np.asarray(white).copy()
    shown[..., :3] = 0  # black where it is seen, nothing (hence white) about the spot
    shown[50:71, 140:161, 3] = 0
    deep = Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 257)
    pictures = {
        "grey.png": plain.convert("L"),
        "bits.png": plain.convert("1"),
        "palette.gif": plain.convert("P"),
        "cmyk.jpg": plain.convert("CMYK"),
        "deep.png": deep,
        "deep.tif": deep,
        "alpha.png": Image.fromarray(shown),
        "grey_alpha.png": plain.convert("LA"),
    }
    for name, image in pictures.items():
        image.save(tmp_path / name)
    turned = plain.transpose(Image.Transpose.ROTATE_90)  # as the sensor saw it; 6: turn clockwise to look at it
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.crop((0, 0, 200, 150)).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    files = sorted(tmp_path.iterdir())
    found = {prediction.file.name: prediction for prediction in predict(model(Brightest(), 112), files)}
    assert found["turned.jpg"].size == (150, 200)
    assert found["turned.jpg"].points[0] == pytest.approx([100, 60], abs=1)
    for name in pictures:
        assert found[name].points[0] == pytest.approx([150, 60], abs=1), name


def test_all_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    spot(64, 64, 30, 30, 5).save(tmp_path / "good.png")
    (tmp_path / "text.jpg").write_text("no image")
    whole = io.BytesIO()
    Image.effect_noise((99, 99), 80).save(whole, "JPEG")
    (tmp_path / "short.jpg").write_bytes(whole.getvalue()[:900])
    Image.fromarray(np.zeros((9, 9), np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "folder.jpg").mkdir()
    names = ["good.png", "text.jpg", "short.jpg", "none.jpg", "float.tif", "folder.jpg"]
    with pytest.raises(UserError) as refused:
        predict(model(Brightest(), 112), [tmp_path / name for name in names])
    message = str(refused.value)
    assert "good.png" not in message
    for name, why in zip(
        names[1:], ("not an image", "truncated", "no such file", "floating", "directory"), strict=True
    ):
        assert f"{tmp_path / name} (" in message
        assert why in message
    assert message.endswith(": mend them or leave them out.")
    assert "\n" not in message


def test_as_data() -> None:
    points = np.array([[1.0, 2.5], [-3.25, 1 / 3]])
    said = [Prediction(Path('a "b",c.jpg'), (20, 10), points), Prediction(Path("\udcff.jpg"), (5, 6), points + 1)]
    read = json.loads(as_json(said, ("wrist", "tip"), ((0, 1),)))
    assert read["labels"] == ["wrist", "tip"]
    assert read["edges"] == [[0, 1]]
    assert read["predictions"][0] == {
        "file": 'a "b",c.jpg',
        "width": 20,
        "height": 10,
        "points": [[1.0, 2.5], [-3.25, 0.33]],
    }
    rows = list(csv.reader(io.StringIO(as_csv(said))))
    assert rows[0] == ["file", "width", "height", "x0", "y0", "x1", "y1"]
    assert rows[1] == ['a "b",c.jpg', "20", "10", "1.00", "2.50", "-3.25", "0.33"]
    assert rows[2][0] == "?.jpg"


def test_the_drawing_lies_on_the_points(painted: Painted) -> None:
    file = painted.image(3)
    prediction = Prediction(file, (224, 224), painted.uv[3])
    drawn = np.asarray(overlay([prediction], HAND_EDGES)).astype(int)
    before = np.asarray(upright(file)).astype(int)
    changed = np.abs(drawn - before).sum(-1) > 60
    for x, y in painted.uv[3].round().astype(int):
        assert changed[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].any()
    near = np.zeros((224, 224), bool)
    for a, b in HAND_EDGES:
        for x, y in np.linspace(painted.uv[3][a], painted.uv[3][b], 300):
            near[max(0, int(y) - 4) : int(y) + 6, max(0, int(x) - 4) : int(x) + 6] = True
    assert not changed[~near].any()
    white = skeleton(Image.new("RGB", (60, 40)), np.array([[10.0, 20], [50, 20]]), ((0, 1),), colour="white")
    assert white.size == (60, 40)
    assert white.getpixel((30, 20)) == (255, 255, 255)
    assert white.getpixel((30, 30)) == (0, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK", "1", "I;16"])
def test_every_reader_of_images_sees_the_same_pixels(tmp_path: Path, mode: str, orientation: int) -> None:
    """Training's crop, predict, the submitted table and the notebook; a square tells nothing of its turn."""
    values = np.random.default_rng(orientation).integers(0, 256, (224, 224, 4), dtype=np.uint8)
    image = Image.fromarray(values, "RGBA").convert("RGBA" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 256 + values[..., 1])
    if mode == "P":
        image.info["transparency"] = 7
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.getexif()[0x0112] = orientation
    image.save(file, exif=image.getexif())
    seen = np.asarray(upright(file))
    whole = Instance(1, 1, 1, str(file), 224, 224, np.zeros((1, 3)), (0.0, 0.0, 224.0, 224.0), 1.0, False, 1)
    assert np.array_equal(cut(whole, 224, 1.0), seen)
    assert np.array_equal(course_images.pixels(file).numpy(), seen)
    cell: dict[str, Any] = {"SIDE": 224}
    template = (Path(course_images.__file__).parent / "notebook" / "notebook_template.md").read_text()
    function = template[template.index("def photograph") :].partition("\n\n")[0]
    parts = (inspect.getsource(image_module.displayed), inspect.getsource(image_module.in_colour), function)
    exec("import numpy as np\nfrom PIL import Image, ImageOps\n" + "\n".join(parts), cell)  # noqa: S102
    assert np.array_equal(np.asarray(cell["photograph"](file)), seen)
    assert len(np.unique(seen)) > 1
