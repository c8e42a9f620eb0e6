"""Colours and marks of every figure, readable on white and on black; whatever draws them."""

STATES = {
    "finished": ("#3b82c4", "circle", 9),
    "stopped": ("#e0a030", "circle-open", 7),
    "running": ("#3a9d5d", "diamond", 9),
    "waiting": ("#8a8f98", "diamond-open", 8),
    "failed": ("#d0493a", "x", 8),
    "refused": ("#9a9a9a", "line-ns-open", 9),
}
"""Colour, symbol (as plotly calls it) and size of the trials in each state."""

SERIES = ("#3b82c4", "#e08a1e", "#3f9e6b", "#c8504f", "#8d6bb8", "#7f7f7f", "#c46fa0", "#8c8c2f")
"""Colours of studies, parameters or whatever a figure has several of."""

MUTED = "#8a8f98"
ACCENT = "#d6336c"
"""The best or the chosen trial."""

BAND_COLOURS = ("#2e8b57", "#7fb069", "#b59a12", "#d98032")
"""The grade bands, best first."""

REFERENCE_COLOUR = "#8d6bb8"
"""A design that trials are measured against."""

RETRAINED_COLOUR = "#2a9d9d"
"""Full trainings of trials."""
