"""What goes wrong, with which calls, and where."""
