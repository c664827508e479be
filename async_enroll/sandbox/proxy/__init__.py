"""What stands in front of the application: body limit, time-out, rate limit, firewall."""
