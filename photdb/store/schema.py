"""All tables and views of a project on one page: facts, decisions, results and logs, and the public views.

Facts say what the frames and the session are, decisions what the user chose (no recomputation deletes them), results
are each owned by one stage and free to be recomputed. A result row that stands for a unit of work carries `input`:
64 bits of BLAKE2b over exactly what it was computed from (see `photdb.store.currency`). New projects are built by
`migrations/`, which tests hold against this page.
"""

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

#: The newest revision in `migrations/versions`; a test holds it against Alembic.
HEAD: Final = "0002"
#: "phdb" as a 32-bit integer: marks the file as photdb's own (PRAGMA application_id).
APPLICATION_ID: Final = 0x70686462
#: Partial indices, upserts and RETURNING are used.
MINIMUM_SQLITE: Final = (3, 35, 0)

metadata = MetaData()


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _ref(name: str, *, key: bool = False, null: bool = False, cascade: bool = True) -> Column[int]:
    target = name.removesuffix("_id").removeprefix("worst_").replace("target", "source")
    return Column(
        name,
        Integer,
        ForeignKey(f"{target}.id", ondelete="CASCADE" if cascade else None),
        primary_key=key,
        nullable=null,
    )


# --- facts ------------------------------------------------------------------------------------------------------------
project = Table(
    "project",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("frame_folder", Text, nullable=False),  # POSIX path, relative to the project's own folder where it can be
    Column("width_px", Integer),
    Column("height_px", Integer),
    Column("filter", Text),  # the one filter of the project; NULL: the headers name none
    # What the user set; what the headers say stays in `frame`, and `session` shows which one holds.
    Column("gain_e_per_adu", Float),
    Column("read_noise_e", Float),
    Column("saturation_adu", Float),
    Column("observer", Text),
    Column("object", Text),
    Column("site_lon_deg", Float),
    Column("site_lat_deg", Float),
    Column("site_height_m", Float),
    Column("aperture_diameter_m", Float),
    Column("time_keyword", Text),
    Column("time_means", Text),
    Column("time_offset_s", Float, nullable=False, server_default=text("0.0")),
    Column("reference_frame_id", Integer, ForeignKey("frame.id")),
    Column("reference_frame_origin", Text),
)
frame = Table(
    "frame",
    metadata,
    _id(),
    Column("number", Integer, nullable=False, unique=True),  # permanent: what users type
    Column("path", Text, nullable=False, unique=True),  # POSIX, relative to project.frame_folder
    Column("size_bytes", Integer),
    Column("mtime_ns", Integer),
    Column("content_crc32", Integer),  # of the file's bytes; NULL until its pixels were first read
    Column("added_at", Text, nullable=False),
    # from here on: read from the header by the stage `headers`
    Column("input", Integer),
    Column("header_crc32", Integer),
    Column("hdu", Integer),
    Column("width_px", Integer),
    Column("height_px", Integer),
    Column("bitpix", Integer),
    Column("exposure_s", Float),
    Column("jd_utc_mid", Float),
    Column("time_source", Text),  # the keyword used, and what it was taken to mean
    Column("time_note", Text),  # keywords that disagree
    Column("filter", Text),
    Column("object", Text),
    Column("airmass", Float),
    Column("airmass_source", Text),
    Column("gain_e_per_adu", Float),
    Column("read_noise_e", Float),
    Column("saturation_adu", Float),
    Column("observer", Text),
    Column("site_lon_deg", Float),
    Column("site_lat_deg", Float),
    Column("site_height_m", Float),
    Column("site_note", Text),
    Column("aperture_diameter_m", Float),
    Column("ra_deg", Float),
    Column("dec_deg", Float),
    Column("header_notes", Text),  # values that were not taken, and why
    Column("error", Text),  # why the frame cannot be used
)
frame_wcs = Table(
    "frame_wcs",
    metadata,
    _ref("frame_id", key=True),
    *(Column(name, Text) for name in ("ctype1", "ctype2")),
    *(Column(name, Float) for name in ("crval1_deg", "crval2_deg", "crpix1", "crpix2")),
    *(Column(name, Float) for name in ("cd1_1", "cd1_2", "cd2_1", "cd2_2")),
)
flag = Table(
    "flag",
    metadata,
    Column("bit", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("meaning", Text, nullable=False),
)

# --- decisions --------------------------------------------------------------------------------------------------------
source = Table(
    "source",
    metadata,
    _id(),
    Column("label", Text, nullable=False),
    Column("role", Text, CheckConstraint("role IN ('asteroid', 'variable', 'reference', 'check')"), nullable=False),
    Column("catalogue_mag", Float),
    Column("mag_err", Float),
    Column("band", Text),
    Column("colour", Float),
    Column("origin", Text, nullable=False),  # 'user' or 'auto'
    Column("created_at", Text, nullable=False),
    Column("removed_at", Text),
    Column("ra_deg", Float),  # ICRS, as the user gave it
    Column("dec_deg", Float),
    Column("ephemeris", Text),  # the name of the file whose rows are in `ephemeris`
)
Index("source_label", source.c.label, unique=True, sqlite_where=source.c.removed_at.is_(None))
source_anchor = Table(
    "source_anchor",
    metadata,
    _ref("source_id", key=True),
    _ref("frame_id", key=True),
    Column("x_px", Float, nullable=False),
    Column("y_px", Float, nullable=False),
    Column("x_given_px", Float, nullable=False),  # before it was snapped to the star under it
    Column("y_given_px", Float, nullable=False),
    sqlite_with_rowid=False,
)
ephemeris = Table(
    "ephemeris",
    metadata,
    _ref("source_id", key=True),
    Column("jd_utc", Float, primary_key=True),  # as an observer's clock has it
    Column("distance_au", Float, nullable=False),
    Column("ra_deg", Float),
    Column("dec_deg", Float),
    sqlite_with_rowid=False,
)
camera = Table(  # resolved once from the frames, where nobody gave a gain
    "camera",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("requested", Integer, nullable=False),  # 1: the user wants it before what headers say
    Column("gain_e_per_adu", Float),
    Column("gain_err_e_per_adu", Float),
    Column("read_noise_e", Float),
    Column("read_noise_err_e", Float),
    Column("n_pairs", Integer),  # of frames
    Column("message", Text),  # why something could not be told
    Column("measured_at", Text),  # NULL: yet to be done
)
aperture = Table(
    "aperture",
    metadata,
    _id(),
    Column("kind", Text, CheckConstraint("kind IN ('fixed', 'fwhm', 'optimal')"), nullable=False),
    Column("radius_px", Float),
    Column("radius_fwhm", Float),
    Column("annulus_inner_px", Float, nullable=False),
    Column("annulus_outer_px", Float, nullable=False),
    Column("origin", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("removed_at", Text),
    Column(
        "sky",
        Text,
        CheckConstraint("sky IN ('median', 'mode', 'plane')"),
        nullable=False,
        server_default=text("'median'"),
    ),
)
Index(
    "aperture_spec",
    aperture.c.kind,
    text("coalesce(radius_px, 0)"),
    text("coalesce(radius_fwhm, 0)"),
    aperture.c.annulus_inner_px,
    aperture.c.annulus_outer_px,
    aperture.c.sky,
    unique=True,
)
rejection = Table(
    "rejection",
    metadata,
    _id(),
    Column("group_id", Integer, nullable=False),
    _ref("frame_id", null=True),
    _ref("source_id", null=True),
    _ref("aperture_id", null=True),
    Column("stage", Text),
    Column("reason", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("withdrawn_at", Text),
    CheckConstraint("coalesce(frame_id, source_id, aperture_id) IS NOT NULL"),
    Index(  # inside the table: an index of nothing but expressions knows no other way to its table
        "rejection_in_force",
        text("coalesce(frame_id, 0)"),
        text("coalesce(source_id, 0)"),
        text("coalesce(aperture_id, 0)"),
        unique=True,
        sqlite_where=text("withdrawn_at IS NULL"),
    ),
)
acceptance = Table(
    "acceptance",
    metadata,
    _id(),
    _ref("frame_id"),
    Column("created_at", Text, nullable=False),
    Column("withdrawn_at", Text),
)
Index("acceptance_in_force", acceptance.c.frame_id, unique=True, sqlite_where=acceptance.c.withdrawn_at.is_(None))
rule = Table(
    "rule",
    metadata,
    _id(),
    Column("stage", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("operator", Text, CheckConstraint("operator IN ('<', '>')"), nullable=False),
    Column("value", Float, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("withdrawn_at", Text),
)
Index("rule_in_force", rule.c.metric, rule.c.operator, unique=True, sqlite_where=rule.c.withdrawn_at.is_(None))

# --- results ----------------------------------------------------------------------------------------------------------
frame_quality = Table(
    "frame_quality",
    metadata,
    _ref("frame_id", key=True),
    Column("input", Integer, nullable=False),
    Column("min_adu", Float),
    Column("max_adu", Float),
    Column("range_adu", Float),
    Column("background_adu", Float),
    Column("background_scatter_adu", Float),
    Column("nonuniformity_adu", Float),
    Column("n_stars", Integer),
    Column("n_found", Integer),  # stars in the whole frame, whatever the region
    Column("fwhm_px", Float),
    Column("elongation", Float),
    Column("n_saturated_px", Integer),
    Column("n_nonfinite_px", Integer),
    Column("detection_digest", Integer),  # of the frame's rows in `detection`
    Column("flags", Integer, nullable=False),
    Column("error", Text),  # why the pixels could not be read
)
detection = Table(
    "detection",
    metadata,
    _ref("frame_id", key=True),
    Column("rank", Integer, primary_key=True),  # 1 is the brightest
    Column("x_px", Float),
    Column("y_px", Float),
    Column("flux_adu", Float),
    Column("peak_adu", Float),
    Column("fwhm_px", Float),
    Column("elongation", Float),
    sqlite_with_rowid=False,
)
shift = Table(
    "shift",
    metadata,
    _ref("frame_id", key=True),
    Column("input", Integer, nullable=False),
    Column("dx_px", Float),
    Column("dy_px", Float),
    Column("rotation_deg", Float),
    Column("scale", Float),
    Column("n_matched", Integer),
    Column("residual_px", Float),
    Column("flags", Integer, nullable=False),
)
centroid = Table(
    "centroid",
    metadata,
    _ref("frame_id", key=True),
    _ref("source_id", key=True),
    Column("input", Integer, nullable=False),
    Column("error_input", Integer, nullable=False),  # gain, read noise, saturation that the flux errors were made with
    Column("x_expected_px", Float),
    Column("y_expected_px", Float),
    Column("x_px", Float),
    Column("y_px", Float),
    Column("fwhm_px", Float),
    Column("elongation", Float),
    Column("peak_adu", Float),
    Column("flags", Integer, nullable=False),
    sqlite_with_rowid=False,
)
flux = Table(
    "flux",
    metadata,
    _ref("frame_id", key=True),
    _ref("source_id", key=True),
    _ref("aperture_id", key=True),
    Column("flux_adu", Float),
    Column("flux_err_adu", Float),
    Column("sky_adu", Float),
    Column("sky_scatter_adu", Float),
    Column("n_sky", Integer),
    Column("noise_area_px", Float),  # sum of squared pixel weights
    Column("flags", Integer, nullable=False),
    sqlite_with_rowid=False,
)
frame_error = Table(  # what the errors of a frame's fluxes were made with
    "frame_error",
    metadata,
    _ref("frame_id", key=True),
    Column("gain_e_per_adu", Float),  # NULL: not known, counted as 1
    Column("read_noise_e", Float),
    Column("scintillation_mag", Float),  # NULL: left out, as diameter, airmass or exposure are not known
)
target_coordinates = Table(
    "target_coordinates",
    metadata,
    _ref("target_id", key=True),
    Column("input", Integer, nullable=False),
    Column("origin", Text),  # where the coordinates come from; NULL: there are none
    Column("note", Text),  # how good the times are, or why there are none
)
target_time = Table(
    "target_time",
    metadata,
    _ref("target_id", key=True),
    _ref("frame_id", key=True),
    Column("ra_deg", Float, nullable=False),
    Column("dec_deg", Float, nullable=False),
    Column("hjd_utc_mid", Float, nullable=False),
    Column("bjd_tdb_mid", Float, nullable=False),
    Column("light_time_s", Float),  # from an asteroid, where its distance is known
    sqlite_with_rowid=False,
)
source_noise = Table(
    "source_noise",
    metadata,
    _ref("source_id", key=True),
    _ref("aperture_id", key=True),
    Column("input", Integer, nullable=False),
    Column("noise_mag", Float),  # of its curve against the mean of the references, a reference's against the others
    Column("noise_mag_err", Float),
    Column("noise_robust_mag", Float),
    Column("expected_mag", Float),  # what the errors of all fluxes in it foretell
    Column("ccd_mag", Float),  # of that, the CCD equation alone
    Column("scintillation_mag", Float),
    Column("n_frames", Integer, nullable=False),
)
# The stars' profile in a frame, and where sources are against where they are expected: for optimal extraction alone.
profile = Table(
    "profile",
    metadata,
    _ref("frame_id", key=True),
    Column("input", Integer, nullable=False),
    Column("fwhm_px", Float, nullable=False),
    Column("beta", Float, nullable=False),  # of a Moffat function
    Column("e_plus", Float, nullable=False),  # its ellipticity: `photdb.algorithms.profile.Moffat`
    Column("e_cross", Float, nullable=False),
    Column("photon_factor", Float, nullable=False),  # variance of a star's own photons against that in a circle
    Column("n_stars", Integer, nullable=False),  # 0: too few, it is taken from the frame's FWHM
    Column("x_offset_px", Float, nullable=False),
    Column("y_offset_px", Float, nullable=False),
    Column("n_sources", Integer, nullable=False),  # that say the offset
)
reference_check = Table(
    "reference_check",
    metadata,
    _ref("source_id", key=True),
    _ref("aperture_id", key=True),
    Column("input", Integer, nullable=False),
    Column("scatter_mag", Float),
    Column("expected_mag", Float),  # what the flux errors predict for scatter_mag
    Column("drift_mag", Float),
    Column("worst_jump_mag", Float),
    _ref("worst_frame_id", null=True),
    Column("n_frames", Integer, nullable=False),
    Column("advice", Text),
)
search = Table(
    "search",
    metadata,
    _ref("target_id", key=True),
    Column("input", Integer, nullable=False),
    Column("n_frames", Integer, nullable=False),
    Column("n_references", Integer, nullable=False),
    Column("n_apertures", Integer, nullable=False),
    Column("n_combinations", Integer, nullable=False),
    Column("message", Text),  # why there is no solution
    Column("noise_holdout_mag", Float),  # of the winner, on frames that did not choose it; NULL: too few to judge
    Column("noise_holdout_mag_err", Float),
    Column("detrended", Text),  # the terms that were fitted and taken out; NULL: none
    Column("wave_left", Float),  # part of a sine of one cycle over the night that they leave, on average
    Column("dip_left", Float),  # part of the depth of a dip in the middle third of the night that they leave
    Column("doubts", Text),  # where the search may eat a real signal, or its winner be a lucky one
)
solution = Table(
    "solution",
    metadata,
    _id(),
    _ref("target_id"),
    Column("rank", Integer, nullable=False),
    _ref("aperture_id"),
    Column("weighting", Text, nullable=False),
    Column("n_references", Integer, nullable=False),
    Column("noise_mag", Float, nullable=False),
    Column("noise_mag_err", Float, nullable=False),
    Column("noise_robust_mag", Float),
    Column("drift_mag", Float),
    Column("n_frames", Integer, nullable=False),
    Column("n_points", Integer, nullable=False),
    Column("noise_holdout_mag", Float),  # as in `search`, of the combinations of this weighting alone
    Column("noise_holdout_mag_err", Float),
    Column("systematic_mag", Float),  # what the references bring in slowly: each left out in turn
    Column("zero_mag", Float),  # added to `mag`, it gives catalogue magnitudes
    Column("zero_mag_err", Float),
    Column("zero_scatter_mag", Float),  # of the references about it
    Column("n_zero", Integer),  # references it comes from
    Column("band", Text),
    Column("colour_term", Float),  # in zero_mag for the target's colour; NULL: none fitted
    Column("colour_term_err", Float),
)
Index("solution_rank", solution.c.target_id, solution.c.rank, unique=True)
solution_reference = Table(
    "solution_reference",
    metadata,
    _ref("solution_id", key=True),
    _ref("source_id", key=True),
    Column("weight", Float, nullable=False),
    sqlite_with_rowid=False,
)
solution_point = Table(
    "solution_point",
    metadata,
    _ref("solution_id", key=True),
    _ref("frame_id", key=True),
    Column("mag", Float, nullable=False),
    Column("mag_err", Float),
    sqlite_with_rowid=False,
)

# What comes within reach of apertures: of stages that only some commands ask for (`photdb suggest`).
field = Table(
    "field",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("input", Integer, nullable=False),
    Column("n_stacked", Integer, nullable=False),  # frames in the deep image
    Column("fwhm_px", Float),  # of its stars
    Column("scatter_adu", Float),  # of its sky
    Column("drift_px", Float),  # how far the stars move over the detector
    Column("n_hot", Integer),  # NULL: the field does not drift enough to tell
    Column("message", Text),
)
field_frame = Table(
    "field_frame",
    metadata,
    _ref("frame_id", key=True),
    Column("light", Float),  # of its stars, in units of the reference frame's
    Column("stacked", Integer, nullable=False),
)
field_star = Table(
    "field_star",
    metadata,
    Column("rank", Integer, primary_key=True),  # 1 is the brightest
    *(Column(name, Float, nullable=False) for name in ("x_px", "y_px", "flux_adu")),  # of the reference frame
    Column("fwhm_px", Float),
    Column("saturated", Integer, nullable=False),
)
field_profile = Table(
    "field_profile",
    metadata,
    Column("step", Integer, primary_key=True),
    Column("radius_px", Float, nullable=False),
    Column("per_px2", Float, nullable=False),  # light of a star of unit flux in the deep image
)
hot_pixel = Table(
    "hot_pixel",
    metadata,
    Column("x_px", Integer, primary_key=True),
    Column("y_px", Integer, primary_key=True),
    Column("adu", Float, nullable=False),  # above its surroundings, in the median exposure
    sqlite_with_rowid=False,
)
encounter_input = Table(
    "encounter_input", metadata, _ref("source_id", key=True), Column("input", Integer, nullable=False)
)
encounter = Table(
    "encounter",
    metadata,
    *(_ref(name, key=True) for name in ("source_id", "frame_id", "aperture_id")),
    Column("part", Text, CheckConstraint("part IN ('aperture', 'ring')"), primary_key=True),
    Column("kind", Text, CheckConstraint("kind IN ('star', 'asteroid', 'hot', 'edge')"), primary_key=True),
    Column("what", Text),  # the source that it is, if it is one
    *(Column(name, Float) for name in ("x_px", "y_px")),  # of the worst one: star, reference frame; hot pixel, detector
    Column("distance_px", Float),
    Column("light_adu", Float),  # what all of them do to the flux
    Column("flux_ratio", Float),  # against the source's own
    Column("error_mag", Float),  # of a source that stands still: against its median
    sqlite_with_rowid=False,
)
hit_input = Table("hit_input", metadata, _ref("source_id", key=True), Column("input", Integer, nullable=False))
hit = Table(
    "hit",
    metadata,
    *(_ref(name, key=True) for name in ("source_id", "frame_id")),
    *(Column(name, Integer, primary_key=True) for name in ("x_px", "y_px")),
    Column("kind", Text, CheckConstraint("kind IN ('hot', 'cosmic')"), nullable=False),
    Column("excess_adu", Float, nullable=False),  # above the source's own profile
    Column("sigmas", Float, nullable=False),
    sqlite_with_rowid=False,
)
# Fluxes in place of those measured, as far as the user asked for it; owned by `measure`.
correction_input = Table(
    "correction_input", metadata, _ref("source_id", key=True), Column("input", Integer, nullable=False)
)
correction = Table(
    "correction",
    metadata,
    *(_ref(name, key=True) for name in ("source_id", "frame_id", "aperture_id")),
    Column("flux_adu", Float),
    Column("flux_err_adu", Float),
    Column("removed_adu", Float),  # light of stars, and of hits
    Column("flags", Integer, nullable=False),
    sqlite_with_rowid=False,
)
solution_term = Table(
    "solution_term",
    metadata,
    _ref("solution_id", key=True),
    Column("term", Text, primary_key=True),  # of --detrend or --offset
    Column("kind", Text, nullable=False),  # 'detrend' or 'offset'
    Column("amplitude_mag", Float, nullable=False),  # of what was taken out, from least to most; an offset's step
    Column("amplitude_err_mag", Float, nullable=False),
    Column("span", Float, nullable=False),  # how far the term's own value ranges, in its unit
    sqlite_with_rowid=False,
)
check_curve = Table(
    "check_curve",
    metadata,
    _ref("solution_id", key=True),
    _ref("source_id", key=True),
    Column("noise_mag", Float),
    Column("noise_mag_err", Float),
    Column("n_points", Integer, nullable=False),
    sqlite_with_rowid=False,
)
check_point = Table(
    "check_point",
    metadata,
    _ref("solution_id", key=True),
    _ref("source_id", key=True),
    _ref("frame_id", key=True),
    Column("mag", Float, nullable=False),
    Column("mag_err", Float),
    sqlite_with_rowid=False,
)

# --- logs -------------------------------------------------------------------------------------------------------------
history = Table(
    "history",
    metadata,
    _id(),
    Column("at", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("arguments", Text, nullable=False),  # JSON list, as typed
    Column("version", Text, nullable=False),
    Column("user", Text),
    Column("host", Text),
    Column("outcome", Text),  # 'ok', 'failed: …', 'interrupted'; NULL: still at work, or killed
)
stage_run = Table(
    "stage_run",
    metadata,
    _id(),
    Column("stage", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("params", Text, nullable=False),  # JSON object, resolved
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("outcome", Text),  # as in history
    Column("n_units", Integer, nullable=False),
    Column("photdb_version", Text, nullable=False),
    Column("libraries", Text, nullable=False),
)

# --- views ------------------------------------------------------------------------------------------------------------
# No log10 or sqrt here: SQLite builds differ in what they have.
_METRICS = {
    "frame_quality": (
        "range_adu",
        "nonuniformity_adu",
        "background_adu",
        "background_scatter_adu",
        "fwhm_px",
        "elongation",
        "n_stars",
        "n_saturated_px",
    ),
    "shift": ("residual_px", "n_matched"),
}
#: What a rule can be about.
METRICS: Final = tuple(name for names in _METRICS.values() for name in names)

#: An aperture as users type it.
_APERTURE: Final = """CASE a.kind WHEN 'fixed' THEN printf('%g', a.radius_px) WHEN 'fwhm' THEN printf('%gfwhm',
       a.radius_fwhm) ELSE a.kind END || printf(',%g,%g', a.annulus_inner_px, a.annulus_outer_px)
       || CASE a.sky WHEN 'median' THEN '' ELSE ',' || a.sky END AS aperture"""

VIEWS: Final[dict[str, str]] = {
    "frame_metric": "\nUNION ALL ".join(
        f"SELECT frame_id, '{name}' AS metric, {name} AS value FROM {table}"  # noqa: S608 - names of this page
        for table, names in _METRICS.items()
        for name in names
    ),
    "active_rule": """
SELECT id, stage, metric, operator, value, metric || ' ' || operator || ' ' || printf('%.10g', value) AS text,
       created_at AS since
  FROM rule WHERE withdrawn_at IS NULL""",
    # Every reason for which something is left out; `overruled`: the user accepted the frame all the same.
    "excluded": """
SELECT 'rejection' AS kind, r.frame_id, f.number AS frame, r.source_id, s.label AS source, r.aperture_id,
       r.stage, r.reason, r.created_at AS since, 0 AS overruled, r.group_id, NULL AS rule_id
  FROM rejection r LEFT JOIN frame f ON f.id = r.frame_id LEFT JOIN source s ON s.id = r.source_id
 WHERE r.withdrawn_at IS NULL
UNION ALL
SELECT 'rule', f.id, f.number, NULL, NULL, NULL, u.stage,
       u.metric || ' ' || printf('%.6g', m.value) || ' ' || u.operator || ' ' || printf('%.10g', u.value), u.since,
       a.id IS NOT NULL, NULL, u.id
  FROM active_rule u JOIN frame_metric m ON m.metric = u.metric JOIN frame f ON f.id = m.frame_id
  LEFT JOIN acceptance a ON a.frame_id = f.id AND a.withdrawn_at IS NULL
 WHERE (u.operator = '<' AND m.value < u.value) OR (u.operator = '>' AND m.value > u.value)
UNION ALL
SELECT 'unusable', f.id, f.number, NULL, NULL, NULL, 'headers', f.error, f.added_at, 0, NULL, NULL
  FROM frame f WHERE f.error IS NOT NULL
UNION ALL
SELECT 'unusable', f.id, f.number, NULL, NULL, NULL, 'qc', q.error, f.added_at, 0, NULL, NULL
  FROM frame_quality q JOIN frame f ON f.id = q.frame_id WHERE q.error IS NOT NULL AND f.error IS NULL
UNION ALL
SELECT 'unusable', f.id, f.number, NULL, NULL, NULL, 'shifts',
       'its stars could not be matched with the reference frame''s', f.added_at, 0, NULL, NULL
  FROM shift h JOIN frame f ON f.id = h.frame_id WHERE h.dx_px IS NULL AND f.error IS NULL""",
    "frame_status": """
SELECT f.id AS frame_id, f.number, f.path, f.jd_utc_mid, f.exposure_s, f.filter, f.airmass,
       e.reasons IS NULL AS accepted, e.reasons,
       q.min_adu, q.max_adu, q.range_adu, q.background_adu, q.background_scatter_adu, q.nonuniformity_adu, q.n_stars,
       q.fwhm_px, q.elongation, q.n_saturated_px, h.dx_px, h.dy_px, h.rotation_deg, h.scale, h.n_matched, h.residual_px
  FROM frame f
  LEFT JOIN frame_quality q ON q.frame_id = f.id
  LEFT JOIN shift h ON h.frame_id = f.id
  LEFT JOIN (SELECT frame_id, group_concat(reason, '; ') AS reasons FROM excluded
              WHERE frame_id IS NOT NULL AND source_id IS NULL AND aperture_id IS NULL AND NOT overruled
              GROUP BY frame_id) e ON e.frame_id = f.id""",
    # As curves are made of it: corrected where the user asked for that (`corrected`), beside it as it was measured.
    "instrumental": """
SELECT s.label AS source, s.role, f.number AS frame, f.jd_utc_mid, x.aperture_id, a.radius_px, a.annulus_inner_px,
       a.annulus_outer_px, c.x_px, c.y_px, c.fwhm_px,
       CASE WHEN k.flags IS NULL THEN x.flux_adu ELSE k.flux_adu END AS flux_adu,
       CASE WHEN k.flags IS NULL THEN x.flux_err_adu ELSE k.flux_err_adu END AS flux_err_adu,
       x.sky_adu, x.sky_scatter_adu, x.n_sky, c.peak_adu, coalesce(k.flags, x.flags | c.flags) AS flags, @aperture,
       k.flags IS NOT NULL AS corrected, k.removed_adu, x.flux_adu AS flux_measured_adu,
       x.flux_err_adu AS flux_err_measured_adu, x.flags | c.flags AS flags_measured
  FROM flux x
  JOIN centroid c ON c.frame_id = x.frame_id AND c.source_id = x.source_id
  JOIN source s ON s.id = x.source_id AND s.removed_at IS NULL
  JOIN frame f ON f.id = x.frame_id
  JOIN aperture a ON a.id = x.aperture_id AND a.removed_at IS NULL
  LEFT JOIN correction k
    ON k.source_id = x.source_id AND k.frame_id = x.frame_id AND k.aperture_id = x.aperture_id""".replace(
        "@aperture", _APERTURE
    ),
    # What comes within reach of a source's apertures and rings.
    "met": """
SELECT s.label AS source, f.number AS frame, e.aperture_id, a.radius_px, e.part, e.kind, e.what, e.x_px, e.y_px,
       e.distance_px, e.light_adu, e.flux_ratio, e.error_mag
  FROM encounter e
  JOIN source s ON s.id = e.source_id AND s.removed_at IS NULL
  JOIN frame f ON f.id = e.frame_id
  JOIN aperture a ON a.id = e.aperture_id AND a.removed_at IS NULL""",
    # Sources that curves are wanted of.
    "target": """
SELECT s.id, s.label, s.role FROM source s
 WHERE s.removed_at IS NULL AND s.role IN ('asteroid', 'variable')
   AND NOT EXISTS (SELECT 1 FROM rejection r WHERE r.source_id = s.id AND r.frame_id IS NULL AND r.aperture_id IS NULL
                      AND r.withdrawn_at IS NULL)""",
    "best_combination": """
SELECT t.label AS target, s.rank, s.noise_mag, s.noise_mag_err, s.noise_robust_mag, s.drift_mag, s.aperture_id,
       a.radius_px, a.annulus_inner_px, a.annulus_outer_px, s.weighting, s.n_references,
       (SELECT group_concat(label, ' ') FROM (SELECT r.label FROM solution_reference n
          JOIN source r ON r.id = n.source_id WHERE n.solution_id = s.id ORDER BY r.id)) AS reference_labels,
       s.n_frames, s.n_points, s.noise_holdout_mag, s.noise_holdout_mag_err, s.systematic_mag, s.zero_mag,
       s.zero_mag_err, s.band, s.colour_term, s.colour_term_err, h.detrended, @aperture
  FROM solution s
  JOIN target t ON t.id = s.target_id
  JOIN aperture a ON a.id = s.aperture_id
  JOIN search h ON h.target_id = s.target_id""".replace("@aperture", _APERTURE),
    "light_curve": """
SELECT t.label AS target, s.rank, f.number AS frame, f.jd_utc_mid, p.mag, p.mag_err, s.aperture_id, s.weighting,
       m.hjd_utc_mid, m.bjd_tdb_mid, m.light_time_s, f.jd_utc_mid - m.light_time_s / 86400.0 AS jd_utc_emitted,
       p.mag + s.zero_mag AS mag_standard, s.zero_mag_err, s.band
  FROM solution s
  JOIN solution_point p ON p.solution_id = s.id
  JOIN target t ON t.id = s.target_id
  JOIN frame f ON f.id = p.frame_id
  LEFT JOIN target_time m ON m.target_id = t.id AND m.frame_id = f.id""",
    "best_light_curve": """
SELECT target, frame, jd_utc_mid, mag, mag_err, hjd_utc_mid, bjd_tdb_mid, light_time_s, jd_utc_emitted,
       mag_standard, zero_mag_err, band
  FROM light_curve WHERE rank = 1""",
    # What the squared error of each flux as measured is made of, ADU²: no more and no less than flux_err_adu². Rounding
    # is to whole ADU; a scatter of the sky below read noise and rounding counts as these.
    "noise_budget": """
SELECT source, role, frame, jd_utc_mid, aperture_id, radius_px, flux_adu, flux_err_adu, photon_adu2,
       noise_area_px * (pixel_adu2 - read_adu2) AS sky_photon_adu2, noise_area_px * read_adu2 AS read_noise_adu2,
       area_px * area_px * sky_factor * pixel_adu2 / max(n_sky, 1) AS sky_estimate_adu2,
       scintillation_adu2, aperture
  FROM (SELECT *, min(pixel_adu2, floor_adu2) AS read_adu2
          FROM (SELECT *, CASE WHEN read_noise_e IS NULL THEN sky_adu2 ELSE max(sky_adu2, floor_adu2) END AS pixel_adu2
                  FROM (SELECT s.label AS source, s.role, f.number AS frame, f.jd_utc_mid, x.aperture_id, a.radius_px,
                               x.flux_adu, x.flux_err_adu, x.noise_area_px, x.n_sky, e.read_noise_e,
                               CASE a.kind WHEN 'optimal' THEN x.noise_area_px ELSE 3.141592653589793
                                 * coalesce(a.radius_px, a.radius_fwhm * coalesce(q.fwhm_px, 3.0))
                                 * coalesce(a.radius_px, a.radius_fwhm * coalesce(q.fwhm_px, 3.0)) END AS area_px,
                               CASE a.sky WHEN 'mode' THEN 6.137166941154069 WHEN 'plane' THEN 1.0
                                 ELSE 1.5707963267948966 END AS sky_factor,
                               CASE a.kind WHEN 'optimal' THEN p.photon_factor ELSE 1.0 END
                                 * max(x.flux_adu, 0.0) / coalesce(e.gain_e_per_adu, 1.0) AS photon_adu2,
                               x.sky_scatter_adu * x.sky_scatter_adu AS sky_adu2,
                               coalesce(e.read_noise_e * e.read_noise_e
                                 / (coalesce(e.gain_e_per_adu, 1.0) * coalesce(e.gain_e_per_adu, 1.0)), 0.0)
                                 + 1.0 / 12.0 AS floor_adu2,
                               max(x.flux_adu, 0.0) * max(x.flux_adu, 0.0) * coalesce(e.scintillation_mag, 0.0)
                                 * coalesce(e.scintillation_mag, 0.0) * 0.8483036976765437 AS scintillation_adu2,
                               @aperture
                          FROM flux x
                          JOIN frame_error e ON e.frame_id = x.frame_id
                          JOIN source s ON s.id = x.source_id AND s.removed_at IS NULL
                          JOIN frame f ON f.id = x.frame_id
                          LEFT JOIN frame_quality q ON q.frame_id = x.frame_id
                          LEFT JOIN profile p ON p.frame_id = x.frame_id
                          JOIN aperture a ON a.id = x.aperture_id AND a.removed_at IS NULL)))""".replace(
        "@aperture", _APERTURE
    ),
    # Noise as measured and as foretold, side by side.
    "noise_ratio": """
SELECT s.label AS source, s.role, n.aperture_id, a.radius_px, a.annulus_inner_px, a.annulus_outer_px, n.n_frames,
       n.noise_mag, n.noise_mag_err, n.noise_robust_mag, n.ccd_mag, n.scintillation_mag, n.expected_mag,
       n.noise_mag / nullif(n.expected_mag, 0.0) AS ratio, @aperture
  FROM source_noise n
  JOIN source s ON s.id = n.source_id AND s.removed_at IS NULL
  JOIN aperture a ON a.id = n.aperture_id AND a.removed_at IS NULL""".replace("@aperture", _APERTURE),
    # Check stars in the ensemble and aperture of a target's best curve, and on its time axis: HJD and BJD are the
    # target's.
    "check_light_curve": """
SELECT t.label AS target, k.label AS check_star, f.number AS frame, f.jd_utc_mid, p.mag, p.mag_err,
       p.mag + s.zero_mag AS mag_standard, m.hjd_utc_mid, m.bjd_tdb_mid
  FROM check_point p
  JOIN solution s ON s.id = p.solution_id
  JOIN target t ON t.id = s.target_id
  JOIN source k ON k.id = p.source_id AND k.removed_at IS NULL
  JOIN frame f ON f.id = p.frame_id
  LEFT JOIN target_time m ON m.target_id = t.id AND m.frame_id = f.id""",
    # What was fitted to kept curves and taken out of them.
    "fitted_term": """
SELECT t.label AS target, s.rank, m.term, m.kind, m.amplitude_mag, m.amplitude_err_mag, m.span
  FROM solution_term m JOIN solution s ON s.id = m.solution_id JOIN target t ON t.id = s.target_id""",
    "session": "\nUNION ALL ".join(
        f"SELECT '{name}' AS fact, coalesce(p.{name}, {first}, h.{name}, {last}) AS value,"  # noqa: S608 - of this page
        f" CASE WHEN p.{name} IS NOT NULL THEN 'set' WHEN {first} IS NOT NULL THEN 'estimated'"
        f" WHEN h.{name} IS NOT NULL THEN 'header' WHEN {last} IS NOT NULL THEN 'estimated' ELSE 'unknown' END"
        f" AS origin FROM project p LEFT JOIN camera k LEFT JOIN (SELECT {name}, count(*) AS n FROM frame"
        f" WHERE {name} IS NOT NULL AND error IS NULL GROUP BY {name} ORDER BY n DESC, {name} LIMIT 1) h"
        for name, first, last in (
            ("object", "NULL", "NULL"),
            ("observer", "NULL", "NULL"),
            ("gain_e_per_adu", "CASE WHEN k.requested THEN k.gain_e_per_adu END", "k.gain_e_per_adu"),
            ("read_noise_e", "NULL", "k.read_noise_e"),
            ("saturation_adu", "NULL", "NULL"),
            ("site_lon_deg", "NULL", "NULL"),
            ("site_lat_deg", "NULL", "NULL"),
            ("site_height_m", "NULL", "NULL"),
            ("aperture_diameter_m", "NULL", "NULL"),
        )
    ),
}
