"""The table of questions. A change here needs a migration; a test holds the two equal."""

from sqlalchemy import Boolean, Column, Index, Table, Text

from api.store.schema import MaybeJson, Number, SortedName, Utc, metadata

# Each for a minute; what was asked and answered, until that was read.
questions = Table(
    "questions",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("router", SortedName, nullable=False),
    Column("caller", Text, nullable=False),
    Column("asked", Utc, nullable=False),
    # Nobody waits for the answer any more.
    Column("until", Utc, nullable=False),
    Column("taken", Boolean, nullable=False),
    Column("content", MaybeJson),
    Column("answer", MaybeJson),
    sqlite_autoincrement=True,
)
Index("ix_questions_asked", questions.c.asked)
