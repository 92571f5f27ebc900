"""Stage `camera`: gain and read noise from the frames themselves, once, where neither headers nor the user give a gain.

What is found is a decision as that of the apertures is: it stays until `photdb set --gain auto` asks for another.
"""

from typing import Any

import numpy as np
from sqlalchemy import Connection

from photdb.errors import FrameError
from photdb.stages import Plan
from photdb.stages.runner import Session
from photdb.store.arrays import columns, read_by_frame, read_frames
from photdb.store.connection import driver
from photdb.store.facts import session_number
from photdb.store.lock import now
from photdb.store.project import Project

#: Pairs of frames that are read: enough for a gain to 2 % where the sky's level varies by a third.
_N_PAIRS = 24
#: How much the sky may change from one frame of a pair to the next.
_LIKE = 0.1


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """See whether a gain is wanted and was never looked for."""
    connection = project.connection
    plan = Plan(params, 1)
    known = session_number(connection, "gain_e_per_adu") is not None
    row = driver(connection).execute("SELECT requested, measured_at FROM camera").fetchone()
    requested, measured_at = row or (0, None)
    if measured_at is None and (requested or not known):
        plan.work = [requested]
        plan.reasons.append(
            "the gain is to be estimated from the frames, as `photdb set --gain auto` asks"
            if requested
            else "nobody gives the gain: it is estimated from the frames"
        )
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Read pairs of frames, and keep what they tell; where they tell nothing, why."""
    from photdb.algorithms.photon_transfer import FEWEST_PAIRS, Camera, estimate_camera, pair_noise
    from photdb.frames import read_pixels

    pairs, unread = [], []
    paths = dict(driver(project.connection).execute("SELECT id, path FROM frame").fetchall())
    for ids in _pairs(project.connection):
        try:
            first, second = (read_pixels(project.frame_folder / paths[i])[0] for i in ids)
        except FrameError as error:
            unread.append(str(error))
        else:
            pairs.append(pair_noise(first, second))
    found = estimate_camera(pairs)
    if unread and len(pairs) < FEWEST_PAIRS:
        found = Camera(message=f"the frames could not be read ({unread[0]})")
    values = {name: getattr(found, name) for name in found.__slots__}
    with project.transaction() as connection:
        (requested,) = plan.work
        names = ("id", "requested", "n_pairs", "measured_at", *values)
        sql = f"INSERT OR REPLACE INTO camera ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608
        driver(connection).execute(sql, (1, requested, len(pairs), now(), *values.values()))
    session.say(f"camera: {camera_sentence(project.connection)}")


def _pairs(connection: Connection) -> list[tuple[int, int]]:
    """Choose accepted frames that follow each other under like skies, at all levels, most at their ends."""
    frames = read_frames(connection)
    places = np.flatnonzero(frames.accepted)
    level = read_by_frame(connection, "frame_quality", ["background_adu"], frames)[0]
    exposure = np.nan_to_num(frames.exposure_s)
    one, other = places[:-1], places[1:]
    like = np.abs(level[one] - level[other]) <= _LIKE * np.abs(level[one] + level[other]) / 2.0  # false for NaN
    like &= exposure[one] == exposure[other]
    one, other = one[like], other[like]
    if not one.size:
        return []
    order = np.argsort(level[one] + level[other], kind="stable")
    at = (1.0 - np.cos(np.linspace(0.0, np.pi, _N_PAIRS))) / 2.0 * (order.size - 1)
    chosen = order[np.unique(np.rint(at).astype(np.int64))]
    return list(zip(frames.id[one[chosen]].tolist(), frames.id[other[chosen]].tolist(), strict=True))


def camera_sentence(connection: Connection) -> str | None:
    """Say what is estimated, or why nothing could be; None where the gain was given, or nobody looked yet."""
    rows = columns(connection, "SELECT fact, value, origin FROM session WHERE fact LIKE '%\\_e%' ESCAPE '\\'", "sss")
    origin = {fact: (value, origin) for fact, value, origin in zip(*rows, strict=True)}
    row = driver(connection).execute("SELECT gain_err_e_per_adu, read_noise_err_e, message FROM camera").fetchone()
    gain, whence = origin["gain_e_per_adu"]
    if row is None or whence not in ("estimated", "unknown"):
        return None
    gain_err, read_err, message = row
    if whence == "unknown":
        return (
            f"the gain could not be estimated from the frames: {message}. Errors count 1 e/ADU; if it is another:"
            " photdb set --gain E_PER_ADU"
        )
    text = f"the gain is estimated from the frames: {gain:.4g} ± {gain_err:.2g} e/ADU"
    read, whence = origin["read_noise_e"]
    if whence == "estimated":
        text += f", and the read noise: {read:.3g} ± {read_err:.1g} e"
    return text
