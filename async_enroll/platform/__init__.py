"""Clients of the platform's endpoints, one module each, and the JSON they exchange."""
