"""A small folder in FreiHAND's layout, painted from scratch, and a cache that is not the user's."""

import colorsys
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from tests import postgresql as postgresql_server

SIDE, JOINTS = 224, 21


@dataclass(frozen=True)
class Painted:
    """What `paint` wrote: its folder, the joints in pixels (hands, 21, 2) and the dots' colours (21, 3)."""

    root: Path
    uv: np.ndarray
    colours: np.ndarray

    def image(self, index: int) -> Path:
        return self.root / "training" / "rgb" / f"{index:08d}.jpg"


def paint(root: Path, hands: int = 24, copies: int = 1, seed: int = 0) -> Painted:
    """Write `hands` x `copies` images on which joint j is a dot in colour j, at the projected joint.

    Poses drift slowly from one hand to the next, and the copies differ in their background.
    """
    rng = np.random.default_rng(seed)
    (root / "training" / "rgb").mkdir(parents=True)
    places = np.stack(np.meshgrid(np.linspace(40, 180, 7), np.linspace(60, 160, 3)), -1).reshape(-1, 2)
    drift = np.cumsum(rng.normal(0, 3, (hands, 1, 2)), 0).clip(-25, 25)
    uv = places + drift + rng.uniform(-8, 8, (hands, JOINTS, 2))
    focal, centre = rng.uniform(380, 520, (hands, 2)), rng.uniform(100, 124, (hands, 2))
    z = rng.uniform(0.4, 0.9, (hands, JOINTS, 1))
    xyz = np.concatenate([(uv - centre[:, None]) / focal[:, None] * z, z], -1)
    matrix = np.zeros((hands, 3, 3))
    matrix[:, [0, 1], [0, 1]], matrix[:, :2, 2], matrix[:, 2, 2] = focal, centre, 1
    (root / "training_K.json").write_text(json.dumps(matrix.tolist()))
    (root / "training_xyz.json").write_text(json.dumps(xyz.tolist()))

    colours = np.array([colorsys.hsv_to_rgb(j / JOINTS, 1, 1) for j in range(JOINTS)]) * 255
    for index in range(hands * copies):
        canvas = Image.new("RGB", (SIDE, SIDE), (int(rng.integers(60)),) * 3)
        pen = ImageDraw.Draw(canvas)
        for (x, y), colour in zip(uv[index % hands], colours, strict=True):
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=tuple(int(value) for value in colour))
        canvas.save(root / "training" / "rgb" / f"{index:08d}.jpg", quality=95, subsampling=0)
    return Painted(root, uv, colours)


LONG = (
    "test_three_hosts",
    "test_the_notebook_for",
    "test_every_way_a_trial",
    "test_a_search_that_is_running",
    "test_search.py",
    "test_postgresql",
    "test_clusters.py",
    "test_what_a_user_can_get_wrong",
    "test_big_bodies",
    "test_survival",
)
"""Beginnings of the tests that take longest, and of files that hold such; the longest first."""

SLOW = (
    *LONG,
    # files: they start Ray, a browser, a notebook, or processes that import torch
    "test_ablate",
    "test_agreement",
    "test_attach",
    "test_before",
    "test_bodies",
    "test_browser",
    "test_clean",
    "test_deciding",
    "test_a_star_and_a_note",
    "test_networks",
    "test_decision",
    "test_ensemble",
    "test_fit",
    "test_headline",
    "test_identity",
    "test_kills",
    "test_known_cost",
    "test_leak",
    "test_lease",
    "test_it_says_why_it_stopped",
    "test_network_source",
    "test_notebook",
    "test_pretrained",
    "test_process",
    "test_ranges",
    "test_regnet",
    "test_report",
    "test_retrain",
    "test_robot_hand",
    "test_server",
    "test_submission.py",
    "test_top",
    "test_training_part",
    "test_units",
    "test_verify",
    # and tests of 2 s or more elsewhere
    "learns",
    "killed",
    "a_mistake_reaches_a_shell",
    "data_commands",
    "latency_grows",
    "grouped_transposed_convolutions",
    "set_is_coco_keypoints_in_videos",
    "table_comes_with_the_same_digits",
    "what_is_drawn_is_sound",
    "stats_of_faces_have_their_baseline",
    "the_list_has_each_study_once",
    "a_search_that_has_all_its_trials",
    "the_board_and_the_page_of_every_state",
    "the_dashboard_shows_note_figure_and_files",
    "many_threads",
    "ten_thousand",
    "test_a_worker_process",
    "test_cost.py::test_bodies",
    "test_cost.py::test_quick",
    "test_cost.py::test_regnet",
    "test_counting_and_drawing_need_no_timm",
    "test_every_page_speaks",
    "test_every_change",
    "test_export.py::test_onnx",
    "makes_the_folder_and_says_the_opset",
    "test_recording",
    "test_refused_samples",
    "a_word_that_is_wrong",
    "uninterrupted",
)
"""What `make quick` leaves out, as parts of the tests' names: all else takes 110 CPU-seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow; the long tests first, a short one between the first two, so that each process begins with one."""

    def rank(item: pytest.Item) -> int:
        return next((i for i, part in enumerate(LONG) if part in item.nodeid), len(LONG))

    for item in items:
        if any(part in item.nodeid for part in SLOW):
            item.add_marker(pytest.mark.slow)
    ordered = sorted(items, key=rank)
    long = [item for item in ordered if rank(item) < len(LONG)]
    short = [item for item in ordered if rank(item) == len(LONG)]
    items[:] = [*long[:1], *short[:1], *long[1:2], *short[1:2], *long[2:], *short[2:]]


@pytest.fixture
def painted(tmp_path: Path) -> Painted:
    """24 hands, one picture each."""
    return paint(tmp_path / "hands")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True, scope="session")
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEFRONT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("POSEFRONT_STORAGE", raising=False)
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgresql_server.Server]:
    """A PostgreSQL server of these tests' own."""
    if missing := postgresql_server.missing():
        pytest.skip(missing)
    with postgresql_server.server() as running:
        yield running


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """torch's random numbers are the same whatever ran before."""
    torch.manual_seed(0)
