"""The platform's state, as its database keeps it: rows, transactions, locks, collation."""
