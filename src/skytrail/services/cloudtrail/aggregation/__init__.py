"""Aggregated events: what a trail's data events of five minutes come to, in a few records."""
