"""The public face as its users type it: never run, read by mypy and pyright only.

What must be refused stands with the name of its error: both complain where it is not.
"""
