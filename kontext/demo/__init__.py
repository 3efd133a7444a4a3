"""The demo organization and its peers, for `manage.py up --demo`, `manage.py demo` and the end-to-end tests."""
