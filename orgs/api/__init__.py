"""The management API's shared base, and what it serves of this floor. Floors above add their own with the same base."""
