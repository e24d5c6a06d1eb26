"""Compiled loops of the transforms; imported only when they must be compiled."""
