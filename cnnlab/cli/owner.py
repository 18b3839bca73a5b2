"""Whose the runs of the command line are."""

OWNER = "0" * 32
"""No visitor's name: those are hashes of a random number, and nobody finds one that gives this."""
