"""photdb: differential photometry of one observing night, kept in one SQLite project."""

__version__ = "0.1.0"
