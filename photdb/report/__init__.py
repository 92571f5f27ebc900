"""One page of a night for a person who has no photdb: words, plots, tables, and how to repeat it, in a single file."""
