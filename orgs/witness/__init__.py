"""Kontext as a witness of other logs, and other witnesses of its own (c2sp.org/tlog-witness)."""
