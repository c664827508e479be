"""What a bulk call does, and to whom, as each release has it."""
