import hashlib
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.drawn.hands import DrawnHands, draw, labels, picture, skeleton
from data.drawn.sets import synth
from data.errors import UserError

ROOT = Path(__file__).parent.parent.parent
PIECE = """
import hashlib, sys
from data.drawn.hands import DrawnHands, draw
for i in map(int, sys.argv[2:]):
    image, xyz, k = draw(DrawnHands(int(sys.argv[1]), seed=5, difficulty=0.7), i)
    print(hashlib.sha256(image.tobytes() + xyz.tobytes() + k.tobytes()).hexdigest())
"""


def project(xyz, k):
    """A pinhole written out, one joint at a time."""
    return np.array([(k[0][0] * x / z + k[0][2], k[1][1] * y / z + k[1][2]) for x, y, z in xyz])


def angle(u, v):
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(u, v))), float(np.dot(u, v))))


@pytest.fixture(scope="module")
def hands():
    return [labels(DrawnHands(150, seed=3, difficulty=d), i) for d in (0.0, 1.0) for i in range(150)]


def test_bones_and_joints_are_human(hands):
    low = skeleton.SCALE_RANGE[0] * skeleton.BONE_RANGE[0]
    high = skeleton.SCALE_RANGE[1] * skeleton.BONE_RANGE[1]
    closed = []
    for xyz, _ in hands:
        # FreiHAND's order written out: every chain starts at the wrist
        chains = [[0, *range(first, first + 4)] for first in (1, 5, 9, 13, 17)]
        for chain, mean in zip(chains, skeleton.BONES, strict=True):
            bones = np.diff(xyz[chain], axis=0)
            ratio = np.linalg.norm(bones, axis=1) / mean
            assert (ratio > low - 1e-3).all()
            assert (ratio < high + 1e-3).all()
        wrist, index, little = xyz[0], xyz[5], xyz[17]
        palm = np.cross(index - wrist, little - wrist)
        palm /= np.linalg.norm(palm)
        for first in (5, 9, 13, 17):
            one, two, three = np.diff(xyz[first : first + 4], axis=0)
            pip, dip = angle(one, two), angle(two, three)
            assert pip <= 106.01
            assert dip <= 75.01
            assert 0.449 * pip <= dip + 0.01
            assert dip <= 0.751 * pip + 0.01
            rise = 90 - angle(one, palm)  # of the first bone over the palm, whose arch tilts it by up to 10 degrees
            assert -18 - 10 < rise < 88 + 10
            hinge = np.cross(one, two)
            if pip > 5 and rise < 75:  # fingers bend to the palm's side, never backwards
                assert np.dot(np.cross(hinge, one), palm) > 0
            if dip > 1:  # and in one plane
                assert angle(hinge, np.cross(two, three)) < 1
            closed.append(pip)
        _, two, three, four = np.diff(xyz[[0, 1, 2, 3, 4]], axis=0)
        assert angle(two, three) <= 52.01
        assert angle(three, four) <= 72.01
    assert min(closed) < 10  # and the whole range is used
    assert max(closed) > 95


def test_right_hands(hands):
    right = 0
    for xyz, _ in hands:
        palm = np.cross(xyz[5] - xyz[0], xyz[17] - xyz[0])
        fingers = sum(xyz[tip] - xyz[tip - 3] for tip in (8, 12, 16, 20))
        right += bool(np.dot(palm, fingers) > 0)  # fingers close to the side that makes this a right hand
    assert right > 0.9 * len(hands)  # a few flat hands bend backwards


def test_centred_as_a_crop(hands):
    for xyz, k in hands:
        uv = project(xyz, k)
        size = np.ptp(uv, axis=0).max()
        assert 0.50 * 224 < size < 0.76 * 224
        assert np.abs((uv.min(0) + uv.max(0)) / 2 - 111.5).max() < 9
        assert uv.min() > 8
        assert uv.max() < 216
        assert xyz[:, 2].min() > 0.15


def test_difficulty_widens_the_view():
    spread = []
    for difficulty in (0.0, 0.3, 1.0):
        uv = np.stack([project(*labels(DrawnHands(200, 1, difficulty), i)) for i in range(200)])
        spread.append(float(np.linalg.norm(uv - uv.mean(0), axis=-1).mean()))
        up = uv[:, 9] - uv[:, 0]
        if difficulty == 0:
            assert (up[:, 1] < 0).all()
            assert (np.abs(up[:, 0]) < -0.75 * up[:, 1]).all()
    assert spread[0] < spread[1] < spread[2]


def test_skin_is_where_the_joints_are():
    on = off = leaves = 0
    for i in range(40):
        made = picture(DrawnHands(40, 2, 0.4), i)
        uv = np.rint(project(made.xyz, made.k)).astype(int)
        on += int(made.skin[uv[:, 1], uv[:, 0]].sum())
        off += int(made.skin[uv[:, 1], 223 - uv[:, 0]].sum())  # as with mirrored labels
        assert 0.04 < made.skin.mean() < 0.75
        leaves += bool(np.concatenate([made.skin[[0, -1]].ravel(), made.skin[:, [0, -1]].ravel()]).any())
    assert on > 0.93 * 40 * 21  # the rest is behind held or passing things
    assert off < 0.75 * on
    assert leaves > 10  # the other forearms leave the picture in a sleeve


def test_tips_lie_at_the_outline():
    """With the fingers spread in the picture's plane, skin ends within 6 pixels beyond each label."""
    ends = []
    for i in range(50):
        made = picture(DrawnHands(50, 4, 0.0), i)
        uv = project(made.xyz, made.k)
        for tip in (8, 12, 16, 20):
            way = uv[tip] - uv[tip - 1]
            length = np.linalg.norm(way)
            if angle(made.xyz[tip] - made.xyz[tip - 1], made.xyz[tip - 2] - made.xyz[0]) > 40:
                continue  # a closed finger ends before the palm
            if np.linalg.norm(uv[[t for t in range(21) if t != tip]] - uv[tip], axis=1).min() < 14:
                continue
            past = np.rint(uv[tip] + way / length * 7).astype(int)
            ends.append(not made.skin[past[1], past[0]])
    assert len(ends) > 25
    assert np.mean(ends) > 0.9


def _other_process(count, *indices, **environment):
    run = subprocess.run(
        [sys.executable, "-c", PIECE, str(count), *map(str, indices)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout.split()


def test_same_bits_without_simd_and_in_any_order():
    drawn = DrawnHands(9, seed=5, difficulty=0.7)
    here = []
    for i in range(9):
        image, xyz, k = draw(drawn, i)
        here.append(hashlib.sha256(image.tobytes() + xyz.tobytes() + k.tobytes()).hexdigest())
    assert len(set(here)) == 9
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    plain = _other_process(1000, *range(8, -1, -1), NPY_DISABLE_CPU_FEATURES=" ".join(found))
    assert plain[::-1] == here


def test_layout_and_workers(tmp_path):
    seen = []
    synth(DrawnHands(30, 1), tmp_path / "two", lambda done, total: seen.append((done, total)), workers=2)
    (tmp_path / "one").mkdir()
    synth(DrawnHands(27, 1), tmp_path / "one", workers=1)
    assert seen == [(25, 30), (30, 30)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]
    ks = json.loads((tmp_path / "two" / "training_K.json").read_text())
    points = json.loads((tmp_path / "two" / "training_xyz.json").read_text())
    assert np.array(ks).shape == (30, 3, 3)
    assert np.array(points).shape == (30, 21, 3)
    assert json.loads((tmp_path / "one" / "training_xyz.json").read_text()) == points[:27]
    files = sorted((tmp_path / "two" / "training" / "rgb").iterdir())
    assert [f.name for f in files] == [f"{i:08d}.jpg" for i in range(30)]
    for file in files[:27]:
        assert file.read_bytes() == (tmp_path / "one" / "training" / "rgb" / file.name).read_bytes()
    with Image.open(files[7]) as image:
        assert image.size == (224, 224)
        assert image.mode == "RGB"
        written = np.asarray(image, dtype=float)
    drawn_, xyz, k = draw(DrawnHands(30, 1), 7)
    assert np.abs(written - drawn_).mean() < 6
    assert xyz.tolist() == points[7]
    assert k.tolist() == ks[7]


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_run_leaves_nothing_that_looks_complete(tmp_path, workers):
    code = "import sys; from pathlib import Path; from data.drawn.hands import *; from data.drawn.sets import synth\n"
    code += f"if __name__ == '__main__': synth(DrawnHands(4000), Path({str(tmp_path / 'set')!r}), workers={workers})"
    script = tmp_path / "run.py"
    script.write_text(code)
    run = subprocess.Popen([sys.executable, script], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 30
    while not list(tmp_path.glob(".set.drawing-*/training/rgb/*5.jpg")):
        assert time.monotonic() < until
        assert run.poll() is None
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert not (tmp_path / "set").exists()
    assert list(tmp_path.glob(".set.drawing-*"))
    time.sleep(0.5)  # the workers see that their parent is gone
    left = len(list(tmp_path.glob(".set.drawing-*/training/rgb/*")))
    time.sleep(0.2)
    assert len(list(tmp_path.glob(".set.drawing-*/training/rgb/*"))) == left
    synth(DrawnHands(3), tmp_path / "set", workers=1)
    assert not list(tmp_path.glob(".set.drawing-*"))
    assert len(list((tmp_path / "set" / "training" / "rgb").iterdir())) == 3


def test_a_script_without_guard_runs_once(tmp_path):
    """Workers that ran it again would wait for the lock it holds, and it for them."""
    script = tmp_path / "run.py"
    script.write_text(
        "import fcntl; from pathlib import Path\n"
        "from data.drawn.hands import DrawnHands; from data.drawn.sets import synth\n"
        "lock = open('lock', 'w'); print('once', flush=True); fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "synth(DrawnHands(30), Path('set'), workers=2); print(__name__)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([sys.executable, script], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        said, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    assert said.split() == ["once", "__main__"]
    assert run.returncode == 0
    assert len(list((tmp_path / "set" / "training" / "rgb").iterdir())) == 30


def test_daemon_draws_alone(tmp_path):
    daemon = multiprocessing.get_context("spawn").Process(
        target=synth, args=(DrawnHands(26), tmp_path / "set", None, 2), daemon=True
    )
    daemon.start()
    daemon.join(60)
    assert daemon.exitcode == 0
    assert len(list((tmp_path / "set" / "training" / "rgb").iterdir())) == 26


def test_mistakes(tmp_path):
    for wrong in ({"count": 0}, {"count": 3, "seed": -1}, {"count": 3, "difficulty": 1.01}):
        with pytest.raises(UserError, match=str(next(v for k, v in reversed(wrong.items())))):
            DrawnHands(**wrong)
    with pytest.raises(UserError, match="nan"):
        DrawnHands(3, difficulty=math.nan)
    with pytest.raises(IndexError):
        draw(DrawnHands(3), 3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="full exists already"):
        synth(DrawnHands(1), tmp_path / "full", workers=1)
    with pytest.raises(UserError, match=r"thesis\.txt exists already"):
        synth(DrawnHands(1), tmp_path / "full" / "thesis.txt", workers=1)
    with pytest.raises(UserError, match="cannot be written"):
        synth(DrawnHands(1), tmp_path / "full" / "thesis.txt" / "below", workers=1)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["full"]


def test_a_failing_run_cleans_up(tmp_path):
    def stop(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synth(DrawnHands(2), tmp_path / "set", stop, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_sets_are_drawn_without_torch():
    """Each of several workers would import it, 4 s and 500 MB."""
    code = "import sys; from data.drawn import animals, faces, hands, robot_hand; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_a_set_has_its_own_place_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path))
    folder = DrawnHands(2).folder()
    assert (folder / "training_xyz.json").exists()
    assert DrawnHands(2).folder() == folder
    assert DrawnHands(2, seed=1).folder() != folder
    assert folder.name == "freihand"
