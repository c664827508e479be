"""Turns desired pairs into as few batches as possible."""
