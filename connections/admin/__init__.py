"""The admin of this floor: integrations as a workbench, connections, and which applications may use what."""

from connections.admin import applications, capabilities, connections, integrations, partners

__all__ = ["applications", "capabilities", "connections", "integrations", "partners"]
