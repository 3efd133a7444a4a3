"""Rules and baselines in the management API, and decisions without a call."""
