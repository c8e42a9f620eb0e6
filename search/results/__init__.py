"""What a search has found: trials, curves, validation results, importances."""
