"""Services that Kontext knows: one file each in `services/`, and more in the folder of KONTEXT_CATALOGUE_DIR.

A file is read when somebody adds an integration, and never for a call: what it says is kept with the integration.
"""
