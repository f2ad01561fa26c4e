"""Fixtures and options that all tests share."""
