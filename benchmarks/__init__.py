"""photdb side by side with other programs on the same frames, and what single parts of it cost.

`python -m benchmarks`, from the top of a checkout. Nothing here is a test: it prints what it measured beside the limit.
"""
