"""Protocols: methods that run on a schedule of messages instead of in rounds."""
