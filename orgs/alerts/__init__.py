"""What is unusual in an organization's audit trail: found by the worker, in the order of the tree, never by a call."""
