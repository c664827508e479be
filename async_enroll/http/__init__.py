"""HTTP exchanges with one site: transport, authentication, and classification of failures."""
