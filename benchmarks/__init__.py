"""Ratios, not times: ours, what a user would write, and the limit, side by side in one run."""
