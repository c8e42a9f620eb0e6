"""A study seen in the browser: live while it runs, or as one file that opens offline."""
