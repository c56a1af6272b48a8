"""The table of archives of code. Several versions may have the same one."""

from __future__ import annotations

SCHEMA: tuple[str, ...] = (
    """
    CREATE TABLE lambda_codes (
        id TEXT PRIMARY KEY,
        account TEXT NOT NULL, region TEXT NOT NULL,
        size INTEGER NOT NULL,
        uses INTEGER NOT NULL DEFAULT 0,  -- versions that have it
        unused_since REAL                 -- seconds since 1970; none while it is used
    ) WITHOUT ROWID;
    CREATE INDEX lambda_codes_by_account ON lambda_codes (account, region, size);
    CREATE INDEX lambda_codes_unused ON lambda_codes (unused_since) WHERE unused_since IS NOT NULL;
    """,
)
