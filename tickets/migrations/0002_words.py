"""The table that search looks in, made as each database does full text best."""

from django.db import migrations, models

import tickets.words

# "ascii" splits at ASCII signs only and leaves the rest alone: search.py hands over
# words that are split, folded and stripped of accents already.
SQLITE = """
CREATE VIRTUAL TABLE tickets_ticketwords
USING fts5(words, tokenize='ascii', detail='column', prefix='3 4 5')
"""
POSTGRESQL = """
CREATE TABLE tickets_ticketwords ("rowid" bigint PRIMARY KEY, words tsvector NOT NULL);
CREATE INDEX ticket_words ON tickets_ticketwords USING gin (words);
"""


def create_table(apps, schema_editor):
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    schema_editor.execute(POSTGRESQL if is_postgresql else SQLITE)


def drop_table(apps, schema_editor):
    schema_editor.execute("DROP TABLE tickets_ticketwords")


class Migration(migrations.Migration):
    dependencies = [("tickets", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(create_table, drop_table)],
            state_operations=[
                migrations.CreateModel(
                    name="TicketWords",
                    fields=[
                        (
                            "ticket_number",
                            models.BigIntegerField(
                                db_column="rowid", primary_key=True, serialize=False
                            ),
                        ),
                        ("words", tickets.words.WordsField()),
                    ],
                )
            ],
        )
    ]
