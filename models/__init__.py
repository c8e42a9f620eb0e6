"""Architectures as data, the networks they build and their exact price."""
