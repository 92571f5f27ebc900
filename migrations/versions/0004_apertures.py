"""Skies as mode or plane beside the median, and the stars' profile of each frame for optimal extraction.

Revision ID: 0004
"""

revision = "0004"
down_revision = "0001"

STATEMENTS = (
    """
ALTER TABLE aperture ADD COLUMN sky TEXT DEFAULT 'median' NOT NULL CHECK (sky IN ('median', 'mode', 'plane'))
    """,
    "DROP INDEX aperture_spec",
    """
CREATE UNIQUE INDEX aperture_spec ON aperture (kind, coalesce(radius_px, 0), coalesce(radius_fwhm, 0), annulus_inner_px, annulus_outer_px, sky)
    """,
    """
CREATE TABLE profile (
    frame_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    fwhm_px FLOAT NOT NULL,
    beta FLOAT NOT NULL,
    e_plus FLOAT NOT NULL,
    e_cross FLOAT NOT NULL,
    photon_factor FLOAT NOT NULL,
    n_stars INTEGER NOT NULL,
    x_offset_px FLOAT NOT NULL,
    y_offset_px FLOAT NOT NULL,
    n_sources INTEGER NOT NULL,
    PRIMARY KEY (frame_id),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
    """,
)


def upgrade() -> None:
    from alembic import op  # not at the top: new projects are made of the statements alone

    connection = op.get_bind()
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement)
