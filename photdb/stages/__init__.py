"""The whole pipeline on one page: its stages in order, what each reads and owns, its version and its options.

A stage is a module with two functions. `plan(project, params)` says what is up to date and what is work, reading the
project only; `run(project, plan, session)` does the work: load arrays, compute, save. A stage's version is an integer,
raised by hand when its results change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the pipeline.

    Attributes
    ----------
    name : str
        Also the name of its module here.
    version : int
        Enters the digest of every unit.
    upstream : tuple of str
        The stages whose results it reads.
    tables : tuple of str
        The tables it owns: nobody else writes them.
    unit : str
        What one unit of work is.
    defaults : mapping
        Its options, with the values they have when nobody ever gave one.
    """

    name: str
    version: int
    upstream: tuple[str, ...]
    tables: tuple[str, ...]
    unit: str
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> ModuleType:
        """The module, imported only now."""
        return import_module(f"photdb.stages.{self.name}")


@dataclass(slots=True)
class Plan:
    """What a stage has to do.

    Attributes
    ----------
    params : dict
        The options, resolved.
    n_units : int
        How many units there are, current ones included.
    work : list
        The units to be computed, in order; what one is, is the stage's own affair.
    reasons : list of str
        Why there is work, in words.
    notes : list of str
        What the user should know all the same.
    blocked : str, optional
        Why nothing can be done yet, and what to do.
    found : object
        What the stage's `run` need not find out again; only the stage knows what it is.
    """

    params: dict[str, Any]
    n_units: int = 0
    work: list[Any] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blocked: str | None = None
    found: Any = None


#: What the workers' side of the stages is made of: imported once, before processes are forked.
NEEDED_BY_WORKERS: Final = (
    "photdb.cli",  # the command itself, which a worker process looks at when it starts
    "photdb.frames",
    "photdb.stages.pixels",
    "photdb.algorithms.background",
    "photdb.algorithms.detection",
    "photdb.algorithms.quality",
    "photdb.algorithms.registration",
    "photdb.stages.stamps",
    "photdb.algorithms.centroid",
    "photdb.algorithms.aperture",
)

STAGES: Final[dict[str, Stage]] = {
    stage.name: stage
    for stage in (
        Stage("headers", 1, (), ("frame", "frame_wcs"), "frame"),
        Stage("qc", 2, ("headers",), ("frame_quality", "detection"), "frame", {"region": None}),
        Stage("shifts", 3, ("qc",), ("shift",), "frame", {"exclude": [], "region": None}),
        # What it finds enters errors only, so that no pixel is measured for it: `measure` itself can do without.
        Stage("camera", 1, ("shifts",), (), "camera"),
        Stage(
            "measure",
            2,
            ("shifts",),
            ("centroid", "flux", "frame_error", "profile", "correction_input", "correction"),
            "measurement",
            {"search_px": 5, "hits": "keep", "remove_stars": False},
        ),
        Stage("times", 1, ("shifts",), ("target_coordinates", "target_time"), "target"),
        Stage("noise", 1, ("camera", "measure"), ("source_noise",), "set of sources"),
        Stage("check", 1, ("camera", "measure", "noise"), ("reference_check",), "set of references"),
        Stage(
            "solve",
            2,
            ("camera", "measure", "times", "noise"),
            (
                "search",
                "solution",
                "solution_reference",
                "solution_point",
                "solution_term",
                "check_curve",
                "check_point",
            ),
            "target",
            {"window": 7, "degree": 2, "weighting": ["mean"], "top": 10, "detrend": [], "offset": None, "baseline": []},
        ),
    )
}

#: Stages that only some commands ask for: `photdb run` leaves them out, and `photdb status` says nothing of them.
ASKED_FOR: Final[dict[str, Stage]] = {
    stage.name: stage
    for stage in (
        Stage("field", 1, ("shifts",), ("field", "field_frame", "field_star", "field_profile", "hot_pixel"), "field"),
        Stage("encounters", 1, ("field", "measure"), ("encounter_input", "encounter"), "source"),
        Stage("hits", 1, ("field", "measure"), ("hit_input", "hit"), "source"),
    )
}


def stage_named(name: str) -> Stage:
    """Give a stage by its name, be it one of a night's own or one that is asked for."""
    return STAGES.get(name) or ASKED_FOR[name]
