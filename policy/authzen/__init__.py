"""The decision as a standard API: OpenID AuthZEN Authorization API 1.0 (docs/authzen.md)."""
