"""Fine-tuning: the weights of the encoder itself move.

This package knows no files of images, no command line and no report: it takes a model and
images, and gives records and weights.
"""
