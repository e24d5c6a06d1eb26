"""Checkpoints: pieces of fields keyed by their place, a manifest of digests, and a directory that holds them."""
