"""Ray: on this machine or joined, what it calls in a search, and whether it is still there."""
