"""The platform's endpoints: what each takes, and what it answers."""
