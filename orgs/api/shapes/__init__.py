"""What each resource looks like in requests and answers."""
