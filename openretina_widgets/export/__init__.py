"""Results to take home: a notebook that makes them again, a page, pictures, movies, archives.

Every function takes one result, a list of results, or a dictionary of them by name (a session):
`OptimizationResult`, `PopulationResult`, `TuningCurves`, `ReceptiveFields`, `ResponseGradient`,
`VectorField`, `SelectivityTable` and `ShownStimulus`.
Files appear under their names only once they are whole, and nothing is overwritten unless
``overwrite=True``.
"""

from openretina_widgets.export.archive import from_archive, to_archive
from openretina_widgets.export.by_suffix import SUFFIXES, save
from openretina_widgets.export.image import to_image
from openretina_widgets.export.movie import to_movie
from openretina_widgets.export.notebook import to_notebook
from openretina_widgets.export.page import to_page

__all__ = [
    "SUFFIXES",
    "from_archive",
    "save",
    "to_archive",
    "to_image",
    "to_movie",
    "to_notebook",
    "to_page",
]
