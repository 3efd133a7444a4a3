"""People, their identities, what they are in an organization, and the groups that rules refer to."""
