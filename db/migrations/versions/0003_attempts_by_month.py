"""`processing_attempts` in partitions by month, on PostgreSQL: what is too old goes away a table at a time.

The table is made anew, since none can become partitioned; its rows, owner, grants and sequence are kept. PostgreSQL
wants the column that chooses the partition in the key.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    _begin("PARTITION BY RANGE (created_at)")
    op.execute("CREATE TABLE processing_attempts_default PARTITION OF processing_attempts DEFAULT")
    op.execute("""
        DO $$
        DECLARE
            month timestamp;
        BEGIN
            FOR month IN
                SELECT date_trunc('month', created_at AT TIME ZONE 'UTC') FROM processing_attempts_before
                UNION
                SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month'
                FROM generate_series(0, 3) n  -- this month and the next ones
            LOOP
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF processing_attempts FOR VALUES FROM (%L) TO (%L)',
                    'processing_attempts_' || to_char(month, 'YYYY_MM'),
                    month AT TIME ZONE 'UTC',
                    (month + interval '1 month') AT TIME ZONE 'UTC'
                );
            END LOOP;
        END $$
    """)
    _end(["attempt_id", "created_at"])


def downgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    _begin("")
    _end(["attempt_id"])


def _begin(partitioned: str) -> None:
    """A new table of the same columns; the one before is put aside."""
    op.execute("ALTER TABLE processing_attempts RENAME TO processing_attempts_before")
    op.execute(f"""
        CREATE TABLE processing_attempts (LIKE processing_attempts_before INCLUDING DEFAULTS) {partitioned}
    """)
    op.execute("ALTER SEQUENCE processing_attempts_attempt_id_seq OWNED BY NONE")


def _end(key: list[str]) -> None:
    """The rows, whose they are and who may use them; then the names of the table before are free."""
    op.execute("INSERT INTO processing_attempts SELECT * FROM processing_attempts_before")
    op.execute("""
        DO $$
        DECLARE
            one record;
        BEGIN
            FOR one IN
                SELECT privilege_type, is_grantable, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
                    AS grantee
                FROM pg_class, aclexplode(relacl) WHERE oid = 'processing_attempts_before'::regclass
            LOOP
                EXECUTE format('GRANT %s ON processing_attempts TO %s', one.privilege_type, one.grantee)
                    || CASE WHEN one.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END;
            END LOOP;
            FOR one IN
                SELECT p.oid::regclass AS name, pg_get_userbyid(before.relowner) AS owner
                FROM pg_class p, pg_class before
                WHERE before.oid = 'processing_attempts_before'::regclass AND p.relowner <> before.relowner
                AND p.oid IN (
                    SELECT 'processing_attempts'::regclass
                    UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = 'processing_attempts'::regclass
                )
            LOOP
                EXECUTE format('ALTER TABLE %s OWNER TO %I', one.name, one.owner);
            END LOOP;
        END $$
    """)
    op.execute("DROP TABLE processing_attempts_before")
    op.execute("ALTER SEQUENCE processing_attempts_attempt_id_seq OWNED BY processing_attempts.attempt_id")
    op.create_primary_key("pk_processing_attempts", "processing_attempts", key)
    for column, table in (("field_id", "fields"), ("bbox_id", "bounding_boxes")):
        name = f"fk_processing_attempts_{column}"
        op.create_foreign_key(name, "processing_attempts", table, [column], [column])
    op.create_index("ix_processing_attempts_field_id_day", "processing_attempts", ["field_id", "day"])
    op.create_index("ix_processing_attempts_created_at", "processing_attempts", ["created_at"])
