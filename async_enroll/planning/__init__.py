"""From desired pairs to few batches."""
