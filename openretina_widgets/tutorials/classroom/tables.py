"""Tables of a class: the version of the tables, who joined, and one row a submission."""

from __future__ import annotations

from typing import Any

SCHEMA_VERSION = 1


def make_tables() -> dict[str, Any]:
    """Return the tables ``schema``, ``participant`` and ``submission``."""
    from sqlalchemy import (
        Column,
        Float,
        Index,
        Integer,
        MetaData,
        String,
        Table,
        Text,
        UniqueConstraint,
    )

    metadata = MetaData()
    Table("classroom_schema", metadata, Column("version", Integer, primary_key=True))
    Table(
        "classroom_participant",
        metadata,
        Column("id", String(32), primary_key=True),
        Column("room", String(64), nullable=False),
        Column("name", String(80), nullable=False),
        Column("token_hash", String(64), nullable=False),
        Column("joined_at", Float(53), nullable=False),
        UniqueConstraint("room", "name"),
    )
    Table(
        "classroom_submission",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("uuid", String(36), nullable=False, unique=True),
        Column("room", String(64), nullable=False),
        Column("participant", String(32), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("item", String(200), nullable=False),
        Column("value", Text, nullable=False),
        Column("made_at", Float(53), nullable=False),
        Index("classroom_submission_of_room", "room", "id"),
        Index("classroom_submission_of_participant", "participant", "id"),
        sqlite_autoincrement=True,  # an id is never given twice: the dashboard counts on it
    )
    return {name.removeprefix("classroom_"): table for name, table in metadata.tables.items()}
