"""The training of one trial, as a worker does it: steps, epochs, the state on disk."""
