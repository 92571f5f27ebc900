"""The first schema: facts, decisions, results and logs of one observing session.

Revision ID: 0001
"""

revision = "0001"
down_revision = None

STATEMENTS = (
    """
CREATE TABLE aperture (
    id INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('fixed', 'fwhm', 'optimal')),
    radius_px FLOAT,
    radius_fwhm FLOAT,
    annulus_inner_px FLOAT NOT NULL,
    annulus_outer_px FLOAT NOT NULL,
    origin TEXT NOT NULL,
    created_at TEXT NOT NULL,
    removed_at TEXT,
    PRIMARY KEY (id)
)
    """,
    """
CREATE UNIQUE INDEX aperture_spec ON aperture (kind, coalesce(radius_px, 0), coalesce(radius_fwhm, 0), annulus_inner_px, annulus_outer_px)
    """,
    """
CREATE TABLE flag (
    bit INTEGER NOT NULL,
    name TEXT NOT NULL,
    meaning TEXT NOT NULL,
    PRIMARY KEY (bit),
    UNIQUE (name)
)
    """,
    """
CREATE TABLE frame (
    id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    path TEXT NOT NULL,
    size_bytes INTEGER,
    mtime_ns INTEGER,
    content_crc32 INTEGER,
    added_at TEXT NOT NULL,
    input INTEGER,
    header_crc32 INTEGER,
    hdu INTEGER,
    width_px INTEGER,
    height_px INTEGER,
    bitpix INTEGER,
    exposure_s FLOAT,
    jd_utc_mid FLOAT,
    time_source TEXT,
    time_note TEXT,
    filter TEXT,
    object TEXT,
    airmass FLOAT,
    airmass_source TEXT,
    gain_e_per_adu FLOAT,
    read_noise_e FLOAT,
    saturation_adu FLOAT,
    observer TEXT,
    site_lon_deg FLOAT,
    site_lat_deg FLOAT,
    site_height_m FLOAT,
    site_note TEXT,
    aperture_diameter_m FLOAT,
    ra_deg FLOAT,
    dec_deg FLOAT,
    header_notes TEXT,
    error TEXT,
    PRIMARY KEY (id),
    UNIQUE (number),
    UNIQUE (path)
)
    """,
    """
CREATE TABLE history (
    id INTEGER NOT NULL,
    at TEXT NOT NULL,
    command TEXT NOT NULL,
    arguments TEXT NOT NULL,
    version TEXT NOT NULL,
    user TEXT,
    host TEXT,
    outcome TEXT,
    PRIMARY KEY (id)
)
    """,
    """
CREATE TABLE rule (
    id INTEGER NOT NULL,
    stage TEXT NOT NULL,
    metric TEXT NOT NULL,
    operator TEXT NOT NULL CHECK (operator IN ('<', '>')),
    value FLOAT NOT NULL,
    created_at TEXT NOT NULL,
    withdrawn_at TEXT,
    PRIMARY KEY (id)
)
    """,
    """
CREATE UNIQUE INDEX rule_in_force ON rule (metric, operator) WHERE withdrawn_at IS NULL
    """,
    """
CREATE TABLE source (
    id INTEGER NOT NULL,
    label TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('asteroid', 'variable', 'reference', 'check')),
    catalogue_mag FLOAT,
    mag_err FLOAT,
    band TEXT,
    colour FLOAT,
    origin TEXT NOT NULL,
    created_at TEXT NOT NULL,
    removed_at TEXT,
    PRIMARY KEY (id)
)
    """,
    """
CREATE UNIQUE INDEX source_label ON source (label) WHERE removed_at IS NULL
    """,
    """
CREATE TABLE stage_run (
    id INTEGER NOT NULL,
    stage TEXT NOT NULL,
    version INTEGER NOT NULL,
    params TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    outcome TEXT,
    n_units INTEGER NOT NULL,
    photdb_version TEXT NOT NULL,
    libraries TEXT NOT NULL,
    PRIMARY KEY (id)
)
    """,
    """
CREATE TABLE acceptance (
    id INTEGER NOT NULL,
    frame_id INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    withdrawn_at TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
    """,
    """
CREATE UNIQUE INDEX acceptance_in_force ON acceptance (frame_id) WHERE withdrawn_at IS NULL
    """,
    """
CREATE TABLE centroid (
    frame_id INTEGER NOT NULL,
    source_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    error_input INTEGER NOT NULL,
    x_expected_px FLOAT,
    y_expected_px FLOAT,
    x_px FLOAT,
    y_px FLOAT,
    fwhm_px FLOAT,
    elongation FLOAT,
    peak_adu FLOAT,
    flags INTEGER NOT NULL,
    PRIMARY KEY (frame_id, source_id),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE,
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE detection (
    frame_id INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    x_px FLOAT,
    y_px FLOAT,
    flux_adu FLOAT,
    peak_adu FLOAT,
    fwhm_px FLOAT,
    elongation FLOAT,
    PRIMARY KEY (frame_id, rank),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE flux (
    frame_id INTEGER NOT NULL,
    source_id INTEGER NOT NULL,
    aperture_id INTEGER NOT NULL,
    flux_adu FLOAT,
    flux_err_adu FLOAT,
    sky_adu FLOAT,
    sky_scatter_adu FLOAT,
    n_sky INTEGER,
    noise_area_px FLOAT,
    flags INTEGER NOT NULL,
    PRIMARY KEY (frame_id, source_id, aperture_id),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE,
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(aperture_id) REFERENCES aperture (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE frame_quality (
    frame_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    min_adu FLOAT,
    max_adu FLOAT,
    range_adu FLOAT,
    background_adu FLOAT,
    background_scatter_adu FLOAT,
    nonuniformity_adu FLOAT,
    n_stars INTEGER,
    n_found INTEGER,
    fwhm_px FLOAT,
    elongation FLOAT,
    n_saturated_px INTEGER,
    n_nonfinite_px INTEGER,
    detection_digest INTEGER,
    flags INTEGER NOT NULL,
    error TEXT,
    PRIMARY KEY (frame_id),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE frame_wcs (
    frame_id INTEGER NOT NULL,
    ctype1 TEXT,
    ctype2 TEXT,
    crval1_deg FLOAT,
    crval2_deg FLOAT,
    crpix1 FLOAT,
    crpix2 FLOAT,
    cd1_1 FLOAT,
    cd1_2 FLOAT,
    cd2_1 FLOAT,
    cd2_2 FLOAT,
    PRIMARY KEY (frame_id),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE project (
    id INTEGER NOT NULL CHECK (id = 1),
    name TEXT NOT NULL,
    created_at TEXT NOT NULL,
    frame_folder TEXT NOT NULL,
    width_px INTEGER,
    height_px INTEGER,
    filter TEXT,
    gain_e_per_adu FLOAT,
    read_noise_e FLOAT,
    saturation_adu FLOAT,
    observer TEXT,
    object TEXT,
    site_lon_deg FLOAT,
    site_lat_deg FLOAT,
    site_height_m FLOAT,
    aperture_diameter_m FLOAT,
    time_keyword TEXT,
    time_means TEXT,
    time_offset_s FLOAT DEFAULT (0.0) NOT NULL,
    reference_frame_id INTEGER,
    reference_frame_origin TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(reference_frame_id) REFERENCES frame (id)
)
    """,
    """
CREATE TABLE reference_check (
    source_id INTEGER NOT NULL,
    aperture_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    scatter_mag FLOAT,
    expected_mag FLOAT,
    drift_mag FLOAT,
    worst_jump_mag FLOAT,
    worst_frame_id INTEGER,
    n_frames INTEGER NOT NULL,
    advice TEXT,
    PRIMARY KEY (source_id, aperture_id),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(aperture_id) REFERENCES aperture (id) ON DELETE CASCADE,
    FOREIGN KEY(worst_frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE rejection (
    id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    frame_id INTEGER,
    source_id INTEGER,
    aperture_id INTEGER,
    stage TEXT,
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL,
    withdrawn_at TEXT,
    PRIMARY KEY (id),
    CHECK (coalesce(frame_id, source_id, aperture_id) IS NOT NULL),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE,
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(aperture_id) REFERENCES aperture (id) ON DELETE CASCADE
)
    """,
    """
CREATE UNIQUE INDEX rejection_in_force ON rejection (coalesce(frame_id, 0), coalesce(source_id, 0), coalesce(aperture_id, 0)) WHERE withdrawn_at IS NULL
    """,
    """
CREATE TABLE search (
    target_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    n_frames INTEGER NOT NULL,
    n_references INTEGER NOT NULL,
    n_apertures INTEGER NOT NULL,
    n_combinations INTEGER NOT NULL,
    message TEXT,
    PRIMARY KEY (target_id),
    FOREIGN KEY(target_id) REFERENCES source (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE shift (
    frame_id INTEGER NOT NULL,
    input INTEGER NOT NULL,
    dx_px FLOAT,
    dy_px FLOAT,
    rotation_deg FLOAT,
    scale FLOAT,
    n_matched INTEGER,
    residual_px FLOAT,
    flags INTEGER NOT NULL,
    PRIMARY KEY (frame_id),
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE solution (
    id INTEGER NOT NULL,
    target_id INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    aperture_id INTEGER NOT NULL,
    weighting TEXT NOT NULL,
    n_references INTEGER NOT NULL,
    noise_mag FLOAT NOT NULL,
    noise_mag_err FLOAT NOT NULL,
    noise_robust_mag FLOAT,
    drift_mag FLOAT,
    n_frames INTEGER NOT NULL,
    n_points INTEGER NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(target_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(aperture_id) REFERENCES aperture (id) ON DELETE CASCADE
)
    """,
    """
CREATE UNIQUE INDEX solution_rank ON solution (target_id, rank)
    """,
    """
CREATE TABLE source_anchor (
    source_id INTEGER NOT NULL,
    frame_id INTEGER NOT NULL,
    x_px FLOAT NOT NULL,
    y_px FLOAT NOT NULL,
    x_given_px FLOAT NOT NULL,
    y_given_px FLOAT NOT NULL,
    PRIMARY KEY (source_id, frame_id),
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE,
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE solution_point (
    solution_id INTEGER NOT NULL,
    frame_id INTEGER NOT NULL,
    mag FLOAT NOT NULL,
    mag_err FLOAT,
    PRIMARY KEY (solution_id, frame_id),
    FOREIGN KEY(solution_id) REFERENCES solution (id) ON DELETE CASCADE,
    FOREIGN KEY(frame_id) REFERENCES frame (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
    """
CREATE TABLE solution_reference (
    solution_id INTEGER NOT NULL,
    source_id INTEGER NOT NULL,
    weight FLOAT NOT NULL,
    PRIMARY KEY (solution_id, source_id),
    FOREIGN KEY(solution_id) REFERENCES solution (id) ON DELETE CASCADE,
    FOREIGN KEY(source_id) REFERENCES source (id) ON DELETE CASCADE
)
 WITHOUT ROWID
    """,
)


def upgrade() -> None:
    from alembic import op  # not at the top: new projects are made of the statements alone

    connection = op.get_bind()
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement)
