"""Fixtures for every test. The servers are started in tests/plugin.py, before Django is set up."""
