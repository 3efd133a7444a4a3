"""The composition root: settings, URLs, the task queue, the embedded servers and the operators' commands."""
