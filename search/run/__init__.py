"""A search in progress: Ray, Optuna's storage, sampler, scheduler, and the training of one trial."""
