"""What the platform keeps, as its database does: rows, transactions, locks, collation."""
