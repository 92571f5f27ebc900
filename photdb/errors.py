"""The errors that a user is meant to read: one clear sentence each, turned into exit code 1 in `photdb.cli`.

A bad star or a bad frame is data with a flag, never one of these.
"""


class PhotdbError(Exception):
    """Something cannot be done; the message is one sentence that says what, and what to do."""


class FrameError(PhotdbError):
    """A file is no frame that photdb can use; the message is the readable reason, without the path.

    Attributes
    ----------
    seen : tuple of int, optional
        Size and mtime (ns) of the file of which this is said, from the descriptor that was read.
    """

    seen: tuple[int, int] | None = None


class UnreadableError(FrameError):
    """A file cannot be opened or read just now: it says nothing of what is in it."""


class ProjectError(PhotdbError):
    """A project cannot be opened, created or written."""
