"""What this floor tells the floors above."""

from django.dispatch import Signal

# An application that registered itself now belongs to an organization. Sent inside the transaction, with
# `application`, `organization`, `user` and `resources` (what it asked for: orgs.oauth.resources.Resource).
application_claimed = Signal()

# A person may no longer act in an organization. Sent inside the transaction, with `membership`.
membership_suspended = Signal()
