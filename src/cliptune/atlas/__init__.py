"""Maps of images and texts in one space: the modality gap, before and after.

This package knows nothing about encoders, runs or commands: it sees unit vectors, groups and
names. ``build_map`` turns them into numbers and places, ``render_map`` draws what was saved.
"""
