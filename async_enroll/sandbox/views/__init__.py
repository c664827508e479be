"""The endpoints: each reads requests, and answers them."""
