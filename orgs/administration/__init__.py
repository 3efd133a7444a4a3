"""What every admin page rests on: whose rows, which role, what is recorded. `orgs.admin_site` is its front door."""
