"""Finding one's way in the audit trail: what is asked for, what is found, and what belongs together."""
