"""Which method, on which features, with which settings: chosen by cross-validation.

Every candidate answers for images that it has not learned from; the one that is expected to be
right most often is chosen, and fitted again on every label. It sees labelled features of the
images outside the locked test, and never the test.
"""
