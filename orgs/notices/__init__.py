"""Telling an organization, and its people, what they should know: by e-mail, and by signed webhooks.

`orgs.services.give_notice` writes a notice down, `orgs.services.send_notices` brings it to each place.
"""
