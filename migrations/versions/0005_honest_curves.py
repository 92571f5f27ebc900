"""Honest curves: hold-out and systematic errors, zero points, terms that were fitted, and curves of check stars.

Revision ID: 0005
"""

revision = "0005"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE search ADD COLUMN noise_holdout_mag FLOAT",
    "ALTER TABLE search ADD COLUMN noise_holdout_mag_err FLOAT",
    "ALTER TABLE search ADD COLUMN detrended TEXT",
    "ALTER TABLE search ADD COLUMN wave_left FLOAT",
    "ALTER TABLE search ADD COLUMN dip_left FLOAT",
    "ALTER TABLE search ADD COLUMN doubts TEXT",
    "ALTER TABLE solution ADD COLUMN noise_holdout_mag FLOAT",
    "ALTER TABLE solution ADD COLUMN noise_holdout_mag_err FLOAT",
    "ALTER TABLE solution ADD COLUMN systematic_mag FLOAT",
    "ALTER TABLE solution ADD COLUMN zero_mag FLOAT",
    "ALTER TABLE solution ADD COLUMN zero_mag_err FLOAT",
    "ALTER TABLE solution ADD COLUMN zero_scatter_mag FLOAT",
    "ALTER TABLE solution ADD COLUMN n_zero INTEGER",
    "ALTER TABLE solution ADD COLUMN band TEXT",
    "ALTER TABLE solution ADD COLUMN colour_term FLOAT",
    "ALTER TABLE solution ADD COLUMN colour_term_err FLOAT",
    """
CREATE TABLE solution_term (
    solution_id INTEGER NOT NULL,
    term TEXT NOT NULL,
    kind TEXT NOT NULL,
    amplitude_mag FLOAT NOT NULL,
    amplitude_err_mag FLOAT NOT NULL,
    span FLOAT NOT NULL,
    PRIMARY KEY (solution_id, term),
    FOREIGN KEY(solution_id) REFERENCES solution (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE check_curve (
    solution_id INTEGER NOT NULL,
    source_id INTEGER NOT NULL,
    noise_mag FLOAT,
    noise_mag_err FLOAT,
    n_points INTEGER NOT NULL,
    PRIMARY KEY (solution_id, source_id),
    FOREIGN KEY(solution_id) REFERENCES solution (id) ON DELETE CASCADE,
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE check_point (
    solution_id INTEGER NOT NULL,
    source_id INTEGER NOT NULL,
    frame_id INTEGER NOT NULL,
    mag FLOAT NOT NULL,
    mag_err FLOAT,
    PRIMARY KEY (solution_id, source_id, frame_id),
    FOREIGN KEY(solution_id) REFERENCES solution (id) ON DELETE CASCADE,
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
)


def upgrade() -> None:
    from alembic import op  # not at the top: new projects are made of the statements alone

    connection = op.get_bind()
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement)
