"""What stands in front of the application."""
