"""A configuration with choices changed, and a study whose trials are such variants."""

from dataclasses import replace
from pathlib import Path

import pytest

from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from data.transforms.augment import Augment
from models.net import Arch
from search.load import load_study
from search.study import Config, Training, replay
from search.variant import change_of, varied, vary, vary_task

CONFIG = Config(Arch(21, 0.5, 16, 64, "direct"), Training(lr=1e-3, warmup=1.0), Augment(rotate=30, flip=0.5))


def test_a_change_replaces_what_it_names_and_nothing_else() -> None:
    made = vary(CONFIG, {"training.schedule": "constant", "arch.size": 96, "augment.rotate": 0, "task.fold": 3})
    assert made == Config(
        replace(CONFIG.arch, size=96), replace(CONFIG.training, schedule="constant"), Augment(flip=0.5)
    )
    assert vary(CONFIG, {"augment": Augment()}).augment == Augment()
    assert vary(CONFIG, {}) == CONFIG
    stairs = vary(
        CONFIG, {"training.schedule": "step", "training.milestones": (0.5,)}
    )  # neither goes without the other
    assert stairs.training == replace(CONFIG.training, schedule="step", milestones=(0.5,))
    task = FreiHand(drawn=DrawnHands(count=20))
    assert vary_task(task, {"task.fold": 3, "arch.size": 96}) == replace(task, fold=3)
    assert vary_task(task, {}) is task


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training.rate": 1}, "no 'training.rate' to change; Training has lr, batch"),
        ({"optimizer": "sgd"}, "'optimizer' must begin with arch, training, augment or task"),
        ({"arch.size": 31}, "Arch.size is 31"),
    ],
)
def test_a_wrong_change_is_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        vary(CONFIG, change)


def test_a_variant_is_a_parameter_like_any_other() -> None:
    study = load_study(str(Path(__file__).parent.parent / "tiny_study.py"))
    variants = {"as it is": {}, "large": {"arch.size": 64}}
    wide = varied(study, variants)
    params = {"width": 0.2, "size": 32, "lr": 1e-3}
    for name, size in (("as it is", 32), ("large", 64)):
        config, known = replay(wide, params | {"variant": name})
        assert config.arch.size == size
        assert "variant" in known
        assert change_of(params | {"variant": name}, variants) == variants[name]
    with pytest.raises(ValueError, match="'small' not in"):
        replay(wide, params | {"variant": "small"})
    assert varied(study, {}) is study
