"""The science: arrays in, arrays out. No database, no files, no printing."""
