"""Coming from other systems, and going: rows of a foreign table become events; everything becomes plain tables; events
become lines, and lines events; a copy takes the place of a store."""

from daicho.leaving.adopting import Adopted, Adoption, Proposal, proposals
from daicho.leaving.ejecting import Ejected, eject
from daicho.leaving.exchange import line_writer
from daicho.leaving.foreign import Source, source_of
from daicho.leaving.importing import Imported, imported
from daicho.leaving.restoring import Restored, restored

__all__ = [
    "Adopted",
    "Adoption",
    "Ejected",
    "Imported",
    "Proposal",
    "Restored",
    "Source",
    "eject",
    "imported",
    "line_writer",
    "proposals",
    "restored",
    "source_of",
]
