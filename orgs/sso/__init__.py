"""People sign in at their organization's own identity provider: social-auth does the protocol, we say who they are."""
