"""Drawn hands: the space of studies/quickstart.py, and the sampler that is the best in the replays.

Both methods begin with MobileNetV3-small in small, not with the study's own start, which comes from such a comparison.
"""

from dataclasses import replace

from models.space import USUAL
from search.load import load_study
from search.samplers import KnownCost

small = {"head": "heatmap", "width": 0.3, "stride": 16, "size": 64, "neck": 0, "upsample": 1}
starts = {"small": {**small, **USUAL, "lr": 4e-3, "rotate": 10}}
study = replace(load_study("quickstart"), sampler=KnownCost(), starts=starts)
