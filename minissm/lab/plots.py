"""For tutorials that still import it from here."""

from ..plots import COLOURS, DASHES, MARKS  # noqa: F401
