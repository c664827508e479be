"""Runs a whole job: makes work of what the caller passes in, and has it delivered.

Stopping and resuming are decided here. The batches go to `delivery`.
"""
