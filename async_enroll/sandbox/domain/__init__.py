"""What a bulk call does to learners, in each release."""
