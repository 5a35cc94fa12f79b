"""Curation: from a site's archive to a curated, de-identified store with a data sheet; what is left out is told."""

from ultrafm.curation.across import cross_site_duplicates
from ultrafm.curation.curate import SiteSummary, curate_site
from ultrafm.curation.pictures import Pictures, load_masks, load_pictures
from ultrafm.curation.sites import Places, Wish, curate_archive, curate_sites, summary_table
from ultrafm.curation.store import load_store

__all__ = [
    "Pictures",
    "Places",
    "SiteSummary",
    "Wish",
    "cross_site_duplicates",
    "curate_archive",
    "curate_site",
    "curate_sites",
    "load_masks",
    "load_pictures",
    "load_store",
    "summary_table",
]
