"""A class: answers of many students in one database, and the teacher's dashboard."""

from openretina_widgets.tutorials.classroom.classroom import Classroom, Receipt
from openretina_widgets.tutorials.classroom.database import DatabaseAway
from openretina_widgets.tutorials.classroom.place import Place, resolve_place
from openretina_widgets.tutorials.classroom.pseudonyms import pseudonym
from openretina_widgets.tutorials.classroom.store import ClassroomError, Store
from openretina_widgets.tutorials.classroom.submission import Submission

__all__ = [
    "Classroom",
    "ClassroomError",
    "DatabaseAway",
    "Place",
    "Receipt",
    "Store",
    "Submission",
    "pseudonym",
    "resolve_place",
]
