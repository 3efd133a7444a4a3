"""What pages show, as values: no request, no markup. The tags in orgs/templatetags render them."""
