"""The two data sets of the comparison, the study of each, and the published design on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from data.tasks.keypoints import faces
from search.load import load_study
from search.study import Config, replay

HANDS = "hands"
"""What the command calls drawn hands; all else is a folder."""

DIFFICULTY = 0.2  # as studies/quickstart.py


def folder_of(data: str, count: int) -> Path:
    """The folder of a data set; hands are drawn into the cache, once."""
    if data == HANDS:
        return FreiHand(drawn=DrawnHands(count=count, difficulty=DIFFICULTY)).folder()
    return Path(data).absolute()


def name_of(data: str, count: int) -> str:
    """What the table calls it: a folder by its last name alone."""
    return f"{count} drawn hands" if data == HANDS else Path(data).name


def is_hands(folder: Path) -> bool:
    """Whether a folder has FreiHAND's layout; else it has annotated faces."""
    return (folder / "training_K.json").exists()


def task_of(folder: Path) -> Any:
    """The task of a folder, as its study has it."""
    return FreiHand(folder) if is_hands(folder) else faces(folder)


def published(task: Any) -> Config:
    """The published student design, as studies/freihand.py rebuilds it: 224 px, Adam, cosine, rotation and mirror.

    On faces it answers 68 points, and a mirror exchanges left and right ones; nothing else differs.
    """
    study = replace(load_study("freihand"), task=task)
    config, _ = replay(study, {**study.published, **study.starts}["published"])
    return config
