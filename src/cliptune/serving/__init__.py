"""Serve: finished runs and exports behind HTTP, many requests in one batch.

This package knows runs, encoders and HTTP; it knows nothing about training or the command line.
"""
