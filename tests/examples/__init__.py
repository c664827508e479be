"""Whole programs that use async_enroll, each a file to copy, and their tests."""
