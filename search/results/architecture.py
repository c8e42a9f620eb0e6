"""The drawing of an architecture."""

from search.dashboard.drawing import described as described
from search.dashboard.drawing import svg as svg
