"""When the next call may go, and how large it may be."""
