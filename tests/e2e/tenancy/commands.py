"""Every management command of ours and what it takes, read from its parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import product

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.db import models

from tests.e2e.tenancy.everything import OUR_APPS

# Commands about the installation as a whole. They are run by who has the machine, and take nobody's identifiers.
ABOUT_THE_INSTALLATION = {"up", "prepare", "demo", "doctor", "seal", "catalogue"}
DJANGO_OPTIONS = {"help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color"}
DJANGO_OPTIONS |= {"skip_checks"}


def our_commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if app in OUR_APPS)


def load(name: str) -> BaseCommand:
    return load_command_class(get_commands()[name], name)


def options_of(command: BaseCommand, name: str) -> list[argparse.Action]:
    parser = command.create_parser("manage.py", name)
    return [action for action in parser._actions if action.dest not in DJANGO_OPTIONS]


def command_lines(name: str, own_slug: str, rows: dict[str, models.Model]) -> Iterator[list[str]]:
    """The command with our own organization and Acme's identifiers everywhere else.

    Fails for a command that takes no organization and is not about the installation as a whole, and for an option that
    nobody can fill.
    """
    options = options_of(load(name), name)
    assert any(action.dest == "organization" for action in options), (
        f"`manage.py {name}` takes no --organization: give it one, or say in tests/e2e/tenancy/commands.py why not"
    )
    choices = [_choices(name, action, own_slug, rows) for action in options]
    for combination in product(*choices):
        yield [part for parts in combination for part in parts]


def _choices(name: str, action: argparse.Action, own_slug: str, rows: dict[str, models.Model]) -> list[list[str]]:
    if action.dest == "organization":
        return [_written(action, own_slug)]
    if action.nargs == 0:
        return [[]]
    if action.choices and action.required:
        return [_written(action, str(choice)) for choice in action.choices]
    values = _identifiers(action.dest, rows)
    if values:
        return [_written(action, value) for value in values]
    if not action.required and action.option_strings:
        return [[]]
    raise AssertionError(f"no way to fill {action.dest} of `manage.py {name}`: add it to tests/e2e/tenancy/commands.py")


def _identifiers(dest: str, rows: dict[str, models.Model]) -> list[str]:
    stem = re.sub(r"_id$", "", dest).replace("_", "")
    return [str(row.pk) for label, row in rows.items() if label.split(".")[1].lower().endswith(stem)]


def _written(action: argparse.Action, value: str) -> list[str]:
    return [action.option_strings[-1], value] if action.option_strings else [value]
