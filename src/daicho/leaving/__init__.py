"""Coming from other systems, and going: rows of a foreign table become events; everything becomes plain tables."""

from daicho.leaving.adopting import Adopted, Adoption, Proposal, proposals
from daicho.leaving.ejecting import Ejected, eject
from daicho.leaving.foreign import Source, source_of

__all__ = ["Adopted", "Adoption", "Ejected", "Proposal", "Source", "eject", "proposals", "source_of"]
