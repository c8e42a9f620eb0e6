"""One small file a study; loaded by name, imported by nothing."""
