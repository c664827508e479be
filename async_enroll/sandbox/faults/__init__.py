"""Makes bulk calls fail as planned."""
