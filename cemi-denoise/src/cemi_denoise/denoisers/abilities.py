"""What the denoisers of this package can do, whatever their settings; apart, so that a description stays light."""

from __future__ import annotations

from cemi_core.model.abilities import DenoiserAbilities

#: A filter: it judges its own work.
JUDGES = DenoiserAbilities(judges=True)
#: A model from a file: it tries the file and the device before the work, too.
JUDGES_AND_PREPARES = DenoiserAbilities(judges=True, prepares=True)
