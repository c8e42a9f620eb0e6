"""Skeletons over a picture."""

from search.dashboard.gallery import skeletons as skeletons
