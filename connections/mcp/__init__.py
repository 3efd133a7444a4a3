"""A small MCP client for the control plane: it only asks a server what it offers. No models here."""
