"""Where audit events are sent besides: one file for each kind of destination, behind the interface in base.py."""
