"""What `manage.py doctor` looks at. An examination never raises: whatever it meets becomes a finding."""
