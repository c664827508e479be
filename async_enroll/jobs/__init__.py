"""A whole job: its inputs, its run, its end."""
