"""What a search knows, all of it in Optuna's storage: trials, whose turn it is, who holds the study."""
