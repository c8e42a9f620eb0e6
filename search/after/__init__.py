"""After the search: full training, ensembles, ablations, prediction."""
