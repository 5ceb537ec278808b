"""Benchmarks: problems as data, one process for each implementation, and what comes of it as text."""
