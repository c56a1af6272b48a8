"""Trails: what is kept of them, and the operations on them."""
