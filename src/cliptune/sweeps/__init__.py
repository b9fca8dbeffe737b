"""Sweeps: which learning rate, and which part stays frozen, found on the user's own data.

This package knows no command line and never sees a test image: it takes training and validation
rows, keeps every trial in a study that several processes can share, and ends in advice.
"""
