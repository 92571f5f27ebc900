"""The project on disk: its schema, opening and locking it, rows to arrays, and what is up to date."""
