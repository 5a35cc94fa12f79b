"""Tables and a figure of who takes part in a study; imported where they are shown, because they need matplotlib."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ultrafm.manifests.schema import SiteManifest, Task
from ultrafm.manifests.sources import choose_source, is_simulated
from ultrafm.manifests.tasks import gather_tasks
from ultrafm.reporting.figures import house_style, new_figure


def origin_word(sites: Sequence[SiteManifest], wanted: str) -> str:
    """'simulated', 'real', or 'real and simulated': what the chosen sources of these sites hold."""
    kinds = {is_simulated(choose_source(site, wanted)[1]) for site in sites}
    return {(True,): "simulated", (False,): "real"}.get(tuple(kinds), "real and simulated")


def participants_table(sites: Sequence[SiteManifest], wanted: str) -> pd.DataFrame:
    """One row per site: who publishes its images, where, what was scanned and how, and under which licence.

    A column that says nothing of any site is left out.
    """
    rows = []
    for site in sites:
        _name, source = choose_source(site, wanted)
        rows.append(
            {
                "site": site.site,
                "institution or publisher": source.institution if is_simulated(source) else source.publisher,
                "country": source.country,
                "organs": ", ".join(site.organs),
                "modalities": ", ".join(site.modalities),
                "scan modes": ", ".join(site.scan_modes),
                "images": "simulated" if is_simulated(source) else "real",
                "licence": source.licence,
                "conditions": ", ".join(source.conditions),
            }
        )
    table = pd.DataFrame(rows)
    return table.loc[:, (table != "").any()]


def tasks_table(sites: Sequence[SiteManifest]) -> pd.DataFrame:
    """One row per task: what is asked, of which organ, at which sites."""
    rows = [
        {
            "task": name,
            "kind": asked.task.kind,
            "organ": ", ".join(asked.task.organs),
            "asks": question(asked.task),
            "sites": ", ".join(site[:7] for site in asked.sites),
        }
        for name, asked in gather_tasks(sites).items()
    ]
    return pd.DataFrame(rows, columns=["task", "kind", "organ", "asks", "sites"])


def question(task: Task) -> str:
    """A task in words: the classes that are told apart, the structures that are outlined, the quantity."""
    if task.kind == "segmentation":
        return f"outline of {' and '.join(task.outlined)}"
    if task.kind == "measurement":
        return f"{task.quantity} in {task.measured_in}"
    if task.is_binary:
        return f"{' or '.join(task.positive)} ({task.disease}) against {' or '.join(task.negative)}"
    words = (" < " if task.kind == "severity" else ", ").join(task.classes)
    return f"any of {words}" if task.several else words


def overview_figure(sites: Sequence[SiteManifest], wanted: str) -> Figure:
    """Number of sites by country, organ and modality, as three bar charts side by side."""
    counts = {
        "country": Counter(choose_source(site, wanted)[1].country for site in sites),
        "organ": Counter(organ for site in sites for organ in site.organs),
        "modality": Counter(modality for site in sites for modality in site.modalities),
    }
    house_style()
    with matplotlib.rc_context({"font.size": 9}):
        figure = new_figure(11, 4.6, f"Sites by country, organ and modality ({origin_word(sites, wanted)} images)")
        for axes, (name, counter) in zip(figure.subplots(1, 3), counts.items(), strict=True):
            names = sorted(counter, key=lambda word: (counter[word], word))
            axes.barh(names, [counter[word] for word in names], color="#3b6ea5")
            axes.set(xlabel="sites", title=f"{name} ({len(counter)})")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.tick_params(axis="y", labelsize=8)
        figure.suptitle(f"Who takes part ({origin_word(sites, wanted)} images)", x=0.01, ha="left")
    return figure
