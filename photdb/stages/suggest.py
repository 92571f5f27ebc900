"""What to leave out, and why: read from results, proposed as commands, never done by itself."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from photdb.stages.meetings import met
from photdb.stages.suggestion import Command, Night, Suggestion, commands_of, read_night
from photdb.store.arrays import read_by_frame
from photdb.store.project import Project
from photdb.wording import numbers

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Frames are odd where these metrics exceed the median by such a factor.
_ODD = {
    "background_adu": (3.0, "a bright sky", "{:.1f} times as bright as usual"),
    "fwhm_px": (1.7, "wide stars", "{:.1f} times as wide as usual"),
    "elongation": (1.35, "trailed stars", "{:.2f} times as long as usual"),
}


def suggestions(project: Project, *, level: float) -> list[Suggestion]:
    """Find what should be left out; of what the user rejected or took back already, nothing.

    Parameters
    ----------
    project : Project
        With encounters and hits up to date.
    level : float
        Light of another star counts if it is above this part of a flux's error.
    """
    night = read_night(project)
    found = list(_frames(project, night))
    for k, source in enumerate(night.series.sources):
        if source.role in ("asteroid", "variable"):
            found += met(project, night, k, level)
    for k, source in enumerate(night.series.sources):
        if source.role == "reference":
            found += met(project, night, k, level)
    for k, source in enumerate(night.series.sources):
        if source.role in ("asteroid", "variable"):
            found += _points(night, k)
    return found + list(_references(night))


# --- whole frames -----------------------------------------------------------------------------------------------------
def _frames(project: Project, night: Night) -> Iterator[Suggestion]:
    """Fog, a lit sky, wide or trailed stars."""
    from photdb.algorithms.suspicion import foggy, odd

    frames, connection = night.frames, project.connection
    (light,) = read_by_frame(connection, "field_frame", ["light"], frames)
    exposure = np.where(np.isfinite(frames.exposure_s) & (frames.exposure_s > 0), frames.exposure_s, 1.0)
    usable = frames.usable & np.isfinite(frames.jd_utc_mid)
    fog, lost = foggy(np.where(usable, frames.jd_utc_mid, np.nan), np.where(usable, light / exposure, np.nan))
    said = np.zeros(fog.size, bool)
    most = f"{float(np.max(lost[fog], initial=0.0)):.1f} mag lost at most"
    if found := _frame_suggestion(night, fog, "fog or clouds", most):
        yield found
    said |= fog
    for name, (factor, what, text) in _ODD.items():
        (values,) = read_by_frame(connection, "frame_quality", [name], frames)
        # a longer exposure gathers more sky
        values = values / exposure if name == "background_adu" else values
        which = odd(np.where(frames.usable & ~fog, values, np.nan), factor=factor) & ~said
        said |= which
        usual = float(np.nanmedian(values)) if np.isfinite(values).any() else 1.0
        worst = text.format(float(np.max(values[which], initial=usual)) / usual)
        if found := _frame_suggestion(night, which, what, worst):
            yield found
    left_out = night.frames.id[said]
    night.out[np.isin(night.series.frame_id, left_out)] = True


def _frame_suggestion(night: Night, which: Bools, what: str, detail: str) -> Suggestion | None:
    frames = night.frames
    new = [int(i) for i in np.flatnonzero(which & frames.accepted) if not night.settled(int(frames.id[i]), None, None)]
    if not new:
        return None
    command = Command(tuple(frames.number[new].tolist()), None, (), what)
    return Suggestion("frames", what, [f"{numbers(frames.number[new].tolist())}: {detail}"], [command])


# --- points of targets ------------------------------------------------------------------------------------------------
def _points(night: Night, k: int) -> Iterator[Suggestion]:
    """Excursions that depend on the aperture, and outliers, of a target against its references."""
    from photdb.algorithms.suspicion import excursions, median_of_known, outliers

    series, source = night.series, night.series.sources[k]
    references = series.of("reference")
    apertures = [
        p for p in range(len(series.apertures)) if series.allowed[k, p] and series.allowed[references, p].any()
    ]
    if not apertures or not references:
        return
    mag = np.where(night.out, np.nan, series.mag)[:, :, apertures]
    err = series.mag_err[:, :, apertures]
    ids = [series.apertures[p].id for p in apertures]
    away = excursions(mag[:, k], err[:, k], mag[:, references])
    cells = {(int(series.frame_id[i]), ids[p]) for i, p in zip(*np.nonzero(away), strict=True)}
    what = "differs between apertures as the others do not"
    if commands := commands_of(night, k, cells, what):
        which = numbers(series.number[away.any(axis=1)].tolist())
        yield Suggestion(source.label, what, [f"{which}: light in the larger ones, of something unknown"], commands)
    mag = np.where(night.out, np.nan, series.mag)[:, :, apertures]
    ensemble = median_of_known(mag[:, references] - median_of_known(mag[:, references], 0), 1)
    known = np.isfinite(mag[:, references])
    of_ensemble = np.sqrt(np.where(known, err[:, references] ** 2, 0.0).sum(axis=1)) / np.maximum(known.sum(axis=1), 1)
    off = outliers(series.jd_utc_mid, mag[:, k] - ensemble, np.hypot(err[:, k], of_ensemble))
    cells = {(int(series.frame_id[i]), ids[p]) for i in np.flatnonzero(off) for p in range(len(ids))}
    if commands := commands_of(night, k, cells, "an outlier"):
        yield Suggestion(source.label, "an outlier", [numbers(series.number[off].tolist())], commands)


# --- references -------------------------------------------------------------------------------------------------------
def _references(night: Night) -> Iterator[Suggestion]:
    """Advise on references that drift, vary, jump or are missing, as `check` does, without what was proposed before."""
    from photdb.algorithms.references import advise

    series = night.series
    references = series.of("reference")
    if len(references) < 2 or not series.apertures:
        return
    # In the aperture near the middle in which most of them are left.
    left = (series.allowed & ~night.costly)[references].sum(axis=0)
    p = min(range(len(series.apertures)), key=lambda p: (-left[p], abs(p - len(series.apertures) // 2)))
    references = [k for k in references if series.allowed[k, p] and not night.costly[k, p]]
    whole = night.out.all(axis=(1, 2))  # frames that should go as a whole
    mag = np.where(night.out, np.nan, series.mag)[~whole][:, references, p].T
    err = series.mag_err[~whole][:, references, p].T
    number, ids = series.number[~whole].tolist(), series.frame_id[~whole].tolist()
    # Where an asteroid passes a reference that reference alone is out: the others are judged in the frames left.
    for advice in advise(mag, err, series.jd_utc_mid[~whole], numbers=number):
        source = series.sources[references[advice.reference]]
        if advice.remove:
            if night.settled(None, source.id, None):
                continue
            command = Command((), source.label, (), advice.reason)
            yield Suggestion(source.label, advice.reason, [], [command])
        elif advice.frames:
            cells = {(int(ids[i]), a.id) for i in advice.frames for a in series.apertures}
            if commands := commands_of(night, references[advice.reference], cells, advice.reason):
                yield Suggestion(source.label, advice.reason, [], commands)
