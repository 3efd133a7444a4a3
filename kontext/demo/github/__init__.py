"""A stand-in for GitHub: an OAuth-protected MCP server in its own process, with its own accounts, clients and tokens.

It shares nothing with Kontext but the network, so the demo and the end-to-end tests meet what a real service would show
them: discovery, registration, consent, expiring tokens, rotating refresh tokens and revocation.
"""
