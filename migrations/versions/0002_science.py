"""What the science of a night needs beside the first schema: errors and times, encounters, apertures, honest curves.

Revision ID: 0002
"""

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    # Errors side by side, and times: an estimated camera, noise of sources, coordinates of targets, HJD and BJD.
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
    # What comes within reach of apertures: field stars, hot pixels, encounters, hits, and corrected fluxes.
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
    # Skies as mode or plane beside the median, and the stars' profile of each frame for optimal extraction.
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
    # Honest curves: hold-out and systematic errors, zero points, terms that were fitted, and curves of check stars.
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
