"""Heads fitted on the parts of an embedding job, which need not fit in memory.

A few passes over the files: sums for heads with a closed form, gradients for logistic regression.
Only rows that methods are compared on, and a sample to start from, are kept.
"""
