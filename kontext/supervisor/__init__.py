"""`manage.py up`: start everything an installation needs, keep it running, stop it in order.

With `--demo`, `kontext.demo.processes.demo_children(installation) -> list[Child]` adds the demo's own peers, which are
started after the database is migrated and before the web process; ports come from `installation.ports.choose(name,
default=…)`. Once everything answers, `manage.py demo` is run once, as a process of its own, to play the story.
"""
