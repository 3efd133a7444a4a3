"""What the database itself guarantees: references stay inside an organization; the data plane hears of changes."""

from django.db import migrations

from orgs.migration_operations import same_organization, watched

# `kontext_bump` takes the organizations in order, so that two transactions cannot deadlock on their counters.
FUNCTIONS = """
CREATE FUNCTION kontext_bump(organizations uuid[], source text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    bumped record;
BEGIN
    FOR bumped IN
        INSERT INTO orgs_snapshotversion AS v (organization_id, version)
        SELECT DISTINCT o, 1 FROM unnest(organizations) AS o WHERE o IS NOT NULL ORDER BY o
        ON CONFLICT (organization_id) DO UPDATE SET version = v.version + 1
        RETURNING v.organization_id, v.version
    LOOP
        PERFORM pg_notify('kontext_snapshot', bumped.organization_id || ':' || bumped.version || ':' || source);
    END LOOP;
END
$$;

CREATE FUNCTION kontext_rows_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ignored text[] := string_to_array(TG_ARGV[0], ',');
    changed uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        changed := ARRAY(SELECT DISTINCT organization_id FROM new_rows);
    ELSIF TG_OP = 'DELETE' THEN
        changed := ARRAY(SELECT DISTINCT organization_id FROM old_rows);
    ELSE
        -- EXCEPT compares whole rows, so nothing here needs to know a table's key.
        changed := ARRAY(
            (SELECT DISTINCT organization_id FROM
                (SELECT n.organization_id, to_jsonb(n) - ignored FROM new_rows n
                 EXCEPT SELECT o.organization_id, to_jsonb(o) - ignored FROM old_rows o) AS came)
            UNION
            (SELECT DISTINCT organization_id FROM
                (SELECT o.organization_id, to_jsonb(o) - ignored FROM old_rows o
                 EXCEPT SELECT n.organization_id, to_jsonb(n) - ignored FROM new_rows n) AS went));
    END IF;
    PERFORM kontext_bump(changed, TG_TABLE_NAME);
    RETURN NULL;
END
$$;

CREATE FUNCTION kontext_organization_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM kontext_bump(ARRAY[COALESCE(NEW.id, OLD.id)], TG_TABLE_NAME);
    RETURN NULL;
END
$$;
CREATE TRIGGER kontext_snapshot AFTER INSERT OR UPDATE OR DELETE ON orgs_organization
    FOR EACH ROW EXECUTE FUNCTION kontext_organization_changed();

-- Names are part of the snapshot, since audit events carry them.
CREATE FUNCTION kontext_user_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM kontext_bump(ARRAY(SELECT organization_id FROM orgs_membership WHERE user_id = NEW.id), TG_TABLE_NAME);
    RETURN NULL;
END
$$;
CREATE TRIGGER kontext_snapshot AFTER UPDATE OF is_active, name, email ON orgs_user
    FOR EACH ROW EXECUTE FUNCTION kontext_user_changed();

CREATE FUNCTION kontext_signing_key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM kontext_bump(ARRAY['00000000-0000-0000-0000-000000000000'::uuid], TG_TABLE_NAME);
    RETURN NULL;
END
$$;
CREATE TRIGGER kontext_snapshot AFTER INSERT OR UPDATE OR DELETE ON orgs_signingkey
    FOR EACH STATEMENT EXECUTE FUNCTION kontext_signing_key_changed();

-- The toolkit revokes an access token by deleting its row. Expired ones are deleted too, and matter to nobody.
CREATE FUNCTION kontext_access_token_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE orgs_issuedtoken SET revoked_at = now()
    WHERE token_checksum IN (SELECT token_checksum FROM old_rows WHERE expires > now()) AND revoked_at IS NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER kontext_revoke AFTER DELETE ON oauth2_provider_accesstoken REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kontext_access_token_deleted();
"""

DROP = """
DROP TRIGGER kontext_revoke ON oauth2_provider_accesstoken;
DROP FUNCTION kontext_access_token_deleted();
DROP TRIGGER kontext_snapshot ON orgs_signingkey;
DROP FUNCTION kontext_signing_key_changed();
DROP TRIGGER kontext_snapshot ON orgs_user;
DROP FUNCTION kontext_user_changed();
DROP TRIGGER kontext_snapshot ON orgs_organization;
DROP FUNCTION kontext_organization_changed();
DROP FUNCTION kontext_rows_changed();
DROP FUNCTION kontext_bump(uuid[], text);
"""


def member(table: str, column: str = "user_id") -> migrations.RunSQL:
    return same_organization(table=table, column=column, target="orgs_membership", target_column="user_id")


class Migration(migrations.Migration):
    dependencies = [("orgs", "0001_initial"), ("oauth2_provider", "0022_refreshtoken_token_family_index")]
    operations = [
        member("orgs_groupmembership"),
        same_organization(table="orgs_groupmembership", column="group_id", target="orgs_group"),
        member("orgs_application", "owner_id"),
        member("orgs_delegation"),
        same_organization(table="orgs_delegation", column="application_id", target="orgs_application"),
        member("orgs_issuedtoken"),
        same_organization(table="orgs_issuedtoken", column="application_id", target="orgs_application"),
        migrations.RunSQL(FUNCTIONS, DROP),
        *watched("orgs_membership"),
        *watched("orgs_groupmembership"),
        *watched("orgs_group", events="UPDATE DELETE"),
        *watched("orgs_application", ignoring=("last_used_at", "updated")),
        *watched("orgs_delegation"),
        *watched("orgs_issuedtoken", events="UPDATE"),
    ]
