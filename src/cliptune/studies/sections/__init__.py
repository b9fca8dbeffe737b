"""The sections of a study, one question each."""
