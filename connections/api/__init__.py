"""Integrations, capabilities and connections in the management API."""
