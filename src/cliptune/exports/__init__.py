"""Export: a run as a graph or a folder that others load, with a certificate of parity.

This package knows fitted heads and encoders, and nothing about training or the command line.
"""
