"""Drawn hands in the wide space of small networks, and the sampler that is the best in the replays."""

from dataclasses import replace
from pathlib import Path

from search.load import load_study
from search.samplers import KnownCost

study = replace(load_study(str(Path(__file__).parents[1] / "search_bench" / "wide_hands.py")), sampler=KnownCost())
