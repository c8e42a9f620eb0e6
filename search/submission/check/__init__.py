"""The check of what is handed in."""
