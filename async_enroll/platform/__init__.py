"""The endpoints of the platform, one module each, and their JSON."""
