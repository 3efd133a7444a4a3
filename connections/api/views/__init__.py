"""One file for what the URLs of one resource answer."""
