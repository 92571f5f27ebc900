"""What comes within reach of apertures: the field's stars, hot pixels, encounters, hits, and corrected fluxes.

Revision ID: 0003
"""

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
CREATE TABLE field (
    id INTEGER NOT NULL CHECK (id = 1),
    input INTEGER NOT NULL,
    n_stacked INTEGER NOT NULL,
    fwhm_px FLOAT,
    scatter_adu FLOAT,
    drift_px FLOAT,
    n_hot INTEGER,
    message TEXT,
    PRIMARY KEY (id)
)
    """,
    """
CREATE TABLE field_frame (
    frame_id INTEGER NOT NULL,
    light FLOAT,
    stacked INTEGER NOT NULL,
    PRIMARY KEY (frame_id),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE field_star (
    rank INTEGER NOT NULL,
    x_px FLOAT NOT NULL,
    y_px FLOAT NOT NULL,
    flux_adu FLOAT NOT NULL,
    fwhm_px FLOAT,
    saturated INTEGER NOT NULL,
    PRIMARY KEY (rank)
)
    """,
    """
CREATE TABLE field_profile (
    step INTEGER NOT NULL,
    radius_px FLOAT NOT NULL,
    per_px2 FLOAT NOT NULL,
    PRIMARY KEY (step)
)
    """,
    """
CREATE TABLE hot_pixel (
    x_px INTEGER NOT NULL,
    y_px INTEGER NOT NULL,
    adu FLOAT NOT NULL,
    PRIMARY KEY (x_px, y_px)
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE encounter_input (
    source_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    PRIMARY KEY (source_id),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE encounter (
    source_id INTEGER NOT NULL,
    frame_id INTEGER NOT NULL,
    aperture_id INTEGER NOT NULL,
    part TEXT NOT NULL CHECK (part IN ('aperture', 'ring')),
    kind TEXT NOT NULL CHECK (kind IN ('star', 'asteroid', 'hot', 'edge')),
    what TEXT,
    x_px FLOAT,
    y_px FLOAT,
    distance_px FLOAT,
    light_adu FLOAT,
    flux_ratio FLOAT,
    error_mag FLOAT,
    PRIMARY KEY (source_id, frame_id, aperture_id, part, kind),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE,
    FOREIGN KEY(aperture_id) REFERENCES aperture (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE hit_input (
    source_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    PRIMARY KEY (source_id),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE hit (
    source_id INTEGER NOT NULL,
    frame_id INTEGER NOT NULL,
    x_px INTEGER NOT NULL,
    y_px INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('hot', 'cosmic')),
    excess_adu FLOAT NOT NULL,
    sigmas FLOAT NOT NULL,
    PRIMARY KEY (source_id, frame_id, x_px, y_px),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE correction_input (
    source_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    PRIMARY KEY (source_id),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE correction (
    source_id INTEGER NOT NULL,
    frame_id INTEGER NOT NULL,
    aperture_id INTEGER NOT NULL,
    flux_adu FLOAT,
    flux_err_adu FLOAT,
    removed_adu FLOAT,
    flags INTEGER NOT NULL,
    PRIMARY KEY (source_id, frame_id, aperture_id),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE,
    FOREIGN KEY(aperture_id) REFERENCES aperture (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
)


def upgrade() -> None:
    from alembic import op  # not at the top: new projects are made of the statements alone

    connection = op.get_bind()
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement)
