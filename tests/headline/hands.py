"""Drawn hands: the space of studies/quickstart.py, and the sampler that is the best in the replays."""

from dataclasses import replace

from search.load import load_study
from search.samplers import KnownCost

study = replace(load_study("quickstart"), sampler=KnownCost())
