"""Photographs of faces: the space of studies/faces.py, and the sampler that is the best in the replays."""

from dataclasses import replace

from search.load import load_study
from search.samplers import KnownCost

study = replace(load_study("faces"), sampler=KnownCost())
