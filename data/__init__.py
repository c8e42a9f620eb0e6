"""Data sets as packed arrays, batched augmentation and drawn hands."""
