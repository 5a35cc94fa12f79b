"""Reading room: readers read a pre-registered study's cases in a browser; answers in SQLite, truth joined at export."""

from ultrafm.readers.room.export import export_ratings
from ultrafm.readers.room.registered import Study, load_study
from ultrafm.readers.room.store import Store

__all__ = ["Store", "Study", "export_ratings", "load_study"]
