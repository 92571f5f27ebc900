"""Plots: arrays become matplotlib figures."""
