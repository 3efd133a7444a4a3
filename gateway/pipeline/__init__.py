"""The way of a call through the gateway, one file a stage: run.py has their order."""
