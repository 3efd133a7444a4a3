"""The walk of another organization's administrator over everything the installation answers to."""
