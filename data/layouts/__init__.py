"""How data sets lie on disk: one reader a layout, and what a check finds."""
