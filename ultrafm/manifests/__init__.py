"""Manifests: what a site is, in one YAML file each; loading, checking, choosing sources, gathering tasks."""

from ultrafm.manifests.check import CheckReport, check_manifests
from ultrafm.manifests.json_schema import write_json_schema
from ultrafm.manifests.load import load_site, load_sites
from ultrafm.manifests.lock import read_lock
from ultrafm.manifests.sources import choose_source, is_remote, is_simulated
from ultrafm.manifests.table import sites_table, write_sites_table
from ultrafm.manifests.tasks import TaskAtSites, gather_tasks
from ultrafm.manifests.vocabulary import Vocabulary, load_vocabulary

__all__ = [
    "CheckReport",
    "TaskAtSites",
    "Vocabulary",
    "check_manifests",
    "choose_source",
    "gather_tasks",
    "is_remote",
    "is_simulated",
    "load_site",
    "load_sites",
    "load_vocabulary",
    "read_lock",
    "sites_table",
    "write_json_schema",
    "write_sites_table",
]
