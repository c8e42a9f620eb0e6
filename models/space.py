"""Choices of an `Arch` beside its width, size and head, to sample in a study's space: what makes small ones smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

USUAL: dict[str, Any] = {
    "stem": "conv",
    "stages": 7,
    "expansion": 1.0,
    "depth": 1.0,
    "squeeze": 0.25,
    "kernel": 5,
    "early_kernel": 3,
    "act": "mixed",
    "branches": 0,
    "grey": False,
}
"""What `details` samples for a MobileNetV3-small as it was published, without what it samples for a head alone."""

STEMS: dict[str, dict[str, int]] = {
    "conv": {},
    "thin": {"stem": 8},
    "patch": {"stem_kernel": 4, "stem_stride": 4},
    "coarse": {"stem_kernel": 5, "stem_stride": 4},
}
"""A 3 x 3 convolution of stride 2; of half its channels; patches of 4 x 4 pixels; a 5 x 5 convolution of stride 4."""


def details(trial: BaseTrial, head: str) -> dict[str, Any]:
    """Fields of an `Arch` with this head, each sampled under its own name, the stem under 'stem'."""
    heads: dict[str, Any] = {}
    if head == "direct":
        heads["pooled"] = trial.suggest_categorical("pooled", [True, False])
    elif head == "heatmap":
        heads["upsample"] = trial.suggest_int("upsample", 0, 2)
    else:
        heads["split"] = trial.suggest_categorical("split", [0.125, 0.25, 0.5, 1.0])
    return {
        **heads,
        **STEMS[trial.suggest_categorical("stem", list(STEMS))],
        "stages": trial.suggest_int("stages", 3, 7),
        "expansion": trial.suggest_float("expansion", 0.1, 1.0),
        "depth": trial.suggest_categorical("depth", [0.5, 1.0]),
        "squeeze": trial.suggest_categorical("squeeze", [0.0, 0.25]),
        "kernel": trial.suggest_categorical("kernel", [3, 5, 7]),
        "early_kernel": trial.suggest_categorical("early_kernel", [3, 5]),
        "act": trial.suggest_categorical("act", ["mixed", "relu", "hardswish", "silu"]),
        "branches": trial.suggest_int("branches", 0, 2),
        "grey": trial.suggest_categorical("grey", [False, True]),
    }
