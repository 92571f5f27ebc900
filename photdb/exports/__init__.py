"""Files for others: numbered text files of a whole session, and any view as a table."""
