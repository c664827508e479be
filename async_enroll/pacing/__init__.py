"""Rate limiting: when the next call may be sent, and how many pairs it may carry."""
