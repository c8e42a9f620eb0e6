"""The notebook's cells: Markdown, and Python between what is generated. Words in <<...>> are filled in."""

TITLE = """
# Hand keypoints with a small network

<<AUTHOR>>

A photograph of a hand, 224 x 224 pixels, goes in; 21 joints come out. **PixelDiff** is the mean distance in pixels
between predicted and true joints over all images and joints. Designs are ranked by

$$\\text{score} = \\text{Params [M]} \\times \\text{FLOPs [G]} \\times e^{\\text{PixelDiff}}$$

and smaller is better. This notebook rebuilds the network, loads its weights, and measures all three numbers again.
It needs torch, numpy and Pillow.
"""

SETTINGS = """
import csv
import io
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import torch
from IPython.display import Image as Shown
from IPython.display import display
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

DATA = Path(os.environ.get(<<IN_DATA>>) or <<DATA>>)  # holds training/rgb, training_K.json and training_xyz.json
TEST = os.environ.get(<<IN_TEST>>) or ""  # folder of the test images; empty: no csv is written
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIDE = 224  # pixels of the images, and of the frame PixelDiff is measured in
SIZE = <<SIZE>>  # pixels of the network's input

claimed = json.loads(Path("model.json").read_text(encoding="utf-8"))
print(f"torch {torch.__version__} on {DEVICE}; claimed: {claimed['error']:.4f} px")
"""

NETWORK = """
## The network

Found by the search `posefront`, study <<STUDY>>, trial <<TRIAL>>, as

<<ARCH>>

and written out as it is deployed: each BatchNorm is folded into the convolution before it. Comments give the shape
(channels x height x width) that a block answers.
"""

LOAD = """
net = Net()
net.load_state_dict(torch.load("model.pth", map_location="cpu", weights_only=True))
net = net.to(DEVICE).eval()
"""

PRICE = """
## Params and FLOPs

Params are all trainable numbers. FLOPs are multiply-adds, as fvcore counts them: torch's own counter counts a
multiplication and an addition apart, so half of its number is taken; and fvcore adds a little for what is no product:
one for each element that goes into adaptive average pooling or comes out of nearest upsampling (four: bilinear), and
two to five for each element that is normalised.
"""

POOL = "Here that is the average pooling before the last layer."

COUNT = """
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode


class Elements(TorchFunctionMode):
    \"\"\"Adds up what fvcore counts beside products.\"\"\"

    total = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if function is F.adaptive_avg_pool2d:
            self.total += args[0].numel()
        elif function is F.batch_norm:
            self.total += args[0].numel() * 2
        elif function in (F.layer_norm, F.group_norm):
            self.total += args[0].numel() * 5
        elif function is F.interpolate:
            self.total += result.numel() * {"nearest": 1, "bilinear": 4}.get(kwargs.get("mode", "nearest"), 0)
        return result


params = sum(parameter.numel() for parameter in net.parameters())
image = torch.zeros(1, 3, SIZE, SIZE, device=DEVICE)
with torch.no_grad(), FlopCounterMode(display=False) as products, Elements() as elements:
    net(image)
flops = products.get_total_flops() // 2 + elements.total
print(f"{params:,} params, {flops:,} FLOPs, of them {elements.total:,} not of products")
"""

DATA = """
## The data

FreiHAND's own layout: camera matrices, and 21 joints a hand in metres in the camera's frame. Image i shows hand i
modulo the number of hands. A joint is projected into the picture by its camera; pixel centres are at whole numbers, so
that a joint at pixel u is at the fraction (u + 0.5) / 224 of the side.
Only the <<IMAGES>> validation images are read, those that the network was never trained on.
"""

READ = """
matrix = np.array(json.loads((DATA / "training_K.json").read_text()))  # (hands, 3, 3)
joints = np.array(json.loads((DATA / "training_xyz.json").read_text()))  # (hands, 21, 3)
seen = joints @ matrix.transpose(0, 2, 1)
points = (seen[..., :2] / seen[..., 2:] + 0.5) / SIDE  # fractions of the side

rows = np.array(claimed["data"]["valid_rows"])
true = points[rows % len(points)]
files = [DATA / "training" / "rgb" / f"{row:08d}.jpg" for row in rows]
print(f"{len(files):,} validation images of {len(np.unique(rows % len(points))):,} hands")
"""

IMAGES = """
## From photograph to network input

The functions of the training program, word for word: a photograph is reduced with a triangle filter to the next
larger of five sizes, cut to the network's input by bilinear interpolation, and normalised. (The same code turns and
shifts images in training; here it leaves them as they are.)
"""

EVALUATION = """
## Evaluation
"""

EVALUATE = """
@torch.no_grad()
def answers(files, batch=64):
    \"\"\"Points (N, 21, 2) as fractions of the side.\"\"\"
    found = []
    for first in range(0, len(files), batch):
        pictures = [np.array(Image.open(file).convert("RGB")) for file in files[first : first + batch]]
        images = torch.from_numpy(np.stack(pictures))
        if level(SIZE, SIDE) < SIDE:
            images = reduce(images, level(SIZE, SIDE))
        found.append(net(inputs(images.to(DEVICE), SIZE)).double().cpu().numpy())
    return np.concatenate(found)


answered = answers(files)
errors = SIDE * np.sqrt(((answered - true) ** 2).sum(-1))  # (N, 21), pixels
pixel_diff = float(errors.mean())
print(f"PixelDiff {pixel_diff:.4f} px; half of all joints within {np.median(errors):.2f} px")
"""

COMPARISON = """
## Against the claim

Every number must be within 1 % of `model.json`.
"""

COMPARE = """
log_score = math.log(params / 1e6) + math.log(flops / 1e9) + pixel_diff
score = math.exp(log_score) if log_score < 700 else None

pairs = {
    "PixelDiff [px]": (pixel_diff, claimed["error"]),
    "Params": (params, claimed["params_count"]),
    "FLOPs": (flops, claimed["flops"]),
}
if score is not None and claimed["score"] is not None:
    pairs["score"] = (score, claimed["score"])
worst = 0.0
print(f"{'':16}{'measured':>18}{'claimed':>18}{'difference':>14}")
for what, (here, there) in pairs.items():
    difference = 100 * abs(here - there) / abs(there)
    worst = max(worst, difference)
    print(f"{what:16}{here:18,.7g}{there:18,.7g}{difference:12.5f} %")
found = {"pixel_diff": pixel_diff, "params": params, "flops": flops, "log_score": log_score, "score": score}
print(json.dumps({**found, "difference_percent": worst}))
assert worst <= 1, f"a number differs from model.json by {worst:.2f} %"
"""

EXAMPLES = """
## Best, median and worst images

White: the truth. In colour, a finger each: the network's answer.
"""

DRAW = """


EDGES = <<EDGES>>

order = errors.mean(1).argsort()
middle = max(0, len(order) // 2 - 1)
for what, chosen in (("best", order[:3]), ("median", order[middle : middle + 3]), ("worst", order[-3:])):
    strip = Image.new("RGB", (SIDE * len(chosen), SIDE))
    for place, i in enumerate(chosen):
        drawn = Image.open(files[i]).convert("RGB")
        drawn = skeleton(drawn, SIDE * true[i] - 0.5, EDGES, colour="white")
        drawn = skeleton(drawn, SIDE * answered[i] - 0.5, EDGES)
        strip.paste(drawn, (SIDE * place, 0))
    print(f"{what}: " + ", ".join(f"{files[i].name} {errors[i].mean():.1f} px" for i in chosen))
    packed = io.BytesIO()
    strip.save(packed, "JPEG", quality=88)
    display(Shown(data=packed.getvalue(), format="jpeg"))
"""

SUBMISSION = """
## The submitted csv

Written again from the test images, which are read here and nowhere else. Coordinates are pixels of the 224 x 224 image,
pixel centres at whole numbers.
"""

_TEST = """
def test_files():
    folder = Path(TEST) / "evaluation" / "rgb"
    folder = folder if folder.is_dir() else Path(TEST)
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))

"""

_SKIPPED = """
    print("No folder of test images was given, so submission.csv is left as it is.")
"""

OWN = (
    _TEST
    + """
if TEST:
    tested = test_files()
    pixels = SIDE * answers(tested) - 0.5
    with open("submission.csv", "w", encoding="utf-8", newline="") as opened:
        lines = csv.writer(opened, lineterminator="\\n")
        lines.writerow(["id", *(f"{axis}{joint}" for joint in range(pixels.shape[1]) for axis in "xy")])
        for file, place in zip(tested, pixels):
            lines.writerow([file.stem, *(f"{value:.4f}" for value in place.ravel())])
    print(f"submission.csv: {len(tested):,} images")
else:"""
    + _SKIPPED
)

LIKE = (
    _TEST
    + """
# Which cell is which: `keys` are the columns that name a row, the others are places (joint, axis) or None where the
# row's name says it. Rows and names are those of the packed submission.csv, which follows the organiser's sample.
LAYOUT = <<LAYOUT>>


def number(name):
    return str(int(name)) if name.isdecimal() else None


if TEST:
    tested = test_files()
    pixels = SIDE * answers(tested) - 0.5
    by_number = {number(file.stem): i for i, file in enumerate(tested)}
    by_stem = {file.stem: i for i, file in enumerate(tested)}
    by_name = {file.name: i for i, file in enumerate(tested)}
    with open("submission.csv", encoding="utf-8", newline="") as opened:
        header, *lines = csv.reader(opened)
    for line in lines:
        said = re.fullmatch(LAYOUT["pattern"], ",".join(line[column] for column in LAYOUT["keys"])).groupdict()
        name = said["image"].rpartition("/")[2]
        stem = re.sub(r"(?i)\\.(jpe?g|png)$", "", name)
        image = by_name.get(name, by_stem.get(stem, by_number.get(number(stem))))
        for column, (joint, axis) in LAYOUT["columns"].items():
            joint = LAYOUT["joints"][said["joint"].lower()] if joint is None else joint
            axis = "xyuv".index(said["axis"].lower()) % 2 if axis is None else axis
            line[column] = f"{pixels[image, joint, axis]:.4f}"
    with open("submission.csv", "w", encoding="utf-8", newline="") as opened:
        csv.writer(opened, lineterminator="\\n").writerows([header, *lines])
    print(f"submission.csv: {len(tested):,} images, {len(lines):,} rows")
else:"""
    + _SKIPPED
)

TRAINED = """
## How it was trained

By `posefront retrain`, not here, as trial <<TRIAL>> of the study <<STUDY>>. <<TRAINING>>
"""
