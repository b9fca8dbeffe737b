"""The sections of a study where an image may have several labels: one module, one ``answer``."""
