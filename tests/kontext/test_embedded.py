from __future__ import annotations

from django.db import connection


def test_tests_run_on_postgresql_18_with_a_role_that_is_no_superuser(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000, current_setting('is_superuser')")
        assert cursor.fetchone() == (18, "off")
