"""The authorization server: applications get tokens here. django-oauth-toolkit's views and hooks, strictly set."""
