"""Errors side by side, and times: an estimated camera, noise of sources, coordinates of targets, HJD and BJD.

Revision ID: 0002
"""

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE source ADD COLUMN ra_deg FLOAT",
    "ALTER TABLE source ADD COLUMN dec_deg FLOAT",
    "ALTER TABLE source ADD COLUMN ephemeris TEXT",
    """
CREATE TABLE ephemeris (
    source_id INTEGER NOT NULL,
    jd_utc FLOAT NOT NULL,
    distance_au FLOAT NOT NULL,
    ra_deg FLOAT,
    dec_deg FLOAT,
    PRIMARY KEY (source_id, jd_utc),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE
) WITHOUT ROWID
    """,
    """
CREATE TABLE camera (
    id INTEGER NOT NULL CHECK (id = 1),
    requested INTEGER NOT NULL,
    gain_e_per_adu FLOAT,
    gain_err_e_per_adu FLOAT,
    read_noise_e FLOAT,
    read_noise_err_e FLOAT,
    n_pairs INTEGER,
    message TEXT,
    measured_at TEXT,
    PRIMARY KEY (id)
)
    """,
    """
CREATE TABLE frame_error (
    frame_id INTEGER NOT NULL,
    gain_e_per_adu FLOAT,
    read_noise_e FLOAT,
    scintillation_mag FLOAT,
    PRIMARY KEY (frame_id),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE target_coordinates (
    target_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    origin TEXT,
    note TEXT,
    PRIMARY KEY (target_id),
    FOREIGN KEY(target_id) REFERENCES source (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE target_time (
    target_id INTEGER NOT NULL,
    frame_id INTEGER NOT NULL,
    ra_deg FLOAT NOT NULL,
    dec_deg FLOAT NOT NULL,
    hjd_utc_mid FLOAT NOT NULL,
    bjd_tdb_mid FLOAT NOT NULL,
    light_time_s FLOAT,
    PRIMARY KEY (target_id, frame_id),
    FOREIGN KEY(target_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
) WITHOUT ROWID
    """,
    """
CREATE TABLE source_noise (
    source_id INTEGER NOT NULL,
    aperture_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    noise_mag FLOAT,
    noise_mag_err FLOAT,
    noise_robust_mag FLOAT,
    expected_mag FLOAT,
    ccd_mag FLOAT,
    scintillation_mag FLOAT,
    n_frames INTEGER NOT NULL,
    PRIMARY KEY (source_id, aperture_id),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(aperture_id) REFERENCES aperture (id) ON DELETE CASCADE
)
    """,
)


def upgrade() -> None:
    from alembic import op  # not at the top: new projects are made of the statements alone

    connection = op.get_bind()
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement)
