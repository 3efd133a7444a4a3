"""PostgreSQL and Valkey of our own, for an installation that has been given neither."""
