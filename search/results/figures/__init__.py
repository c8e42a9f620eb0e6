"""Figures that the command, a search and the dashboard share, drawn by plotly."""
