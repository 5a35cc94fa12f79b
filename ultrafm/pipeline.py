"""The whole study: every step's notebook in order, skipping what is finished, ending in index.html.

A step is skipped when its code, parameters and inputs are unchanged and its files are as it left them. A step that
failed keeps its notebook and page, with a banner; the next run begins with it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ultrafm.errors import NothingToDo, StepFailed, UltraFMError, nearest
from ultrafm.files import hash_files, hash_folder, hash_text, read_json, write_json
from ultrafm.manifests import choose_source, is_remote, is_simulated, load_sites, read_lock
from ultrafm.profiles import load_profile
from ultrafm.provenance import describe_run
from ultrafm.reporting.html import Page, write_page
from ultrafm.reporting.index import write_index
from ultrafm.reporting.kernel import ENVIRONMENT
from ultrafm.reporting.records import write_results
from ultrafm.reporting.runner import NotebookRun, check_parameters, declared_parameters, run_notebook
from ultrafm.reporting.tables import Table
from ultrafm.reporting.warm import WarmStart
from ultrafm.study import (
    ALL_NAMES,
    ALL_STEPS,
    REPOSITORY,
    STEPS,
    Identity,
    StepPlan,
    claim_folder,
    find_manifests,
    only_run,
    plan_of,
    step_key,
    step_output,
)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class StudyPlan:
    """A study as asked for: where it goes, where its data are, and the parameters of its profile."""

    folder: Path
    profile: str
    seed: int
    source: str
    manifests: Path
    data_root: Path | None
    parameters: dict[str, Any]


def plan_study(profile: str, folder: Path, seed: int, manifests: str, data_root: str, source: str | None) -> StudyPlan:
    """Check everything that can be checked before the first step: profile, manifests, sources, data root.

    Raises UltraFMError at the first problem.
    """
    parameters = load_profile(profile)
    wanted = source or str(parameters.get("source", "default"))
    manifest_folder = find_manifests(manifests)
    root = Path(data_root).resolve() if data_root else None
    check_data_root(manifest_folder, wanted, root)
    check_profile(profile, parameters)
    return StudyPlan(folder, profile, seed, wanted, manifest_folder, root, parameters)


def check_data_root(manifests: Path, source: str, root: Path | None) -> None:
    """Every site has the source that is asked for, and sites with real images find their data root."""
    real = [site.site for site in load_sites(manifests) if not is_simulated(choose_source(site, source)[1])]
    if real and root is None:
        raise UltraFMError(
            f"site {real[0]}", "no data root", "the folder that holds its images", "name it with --data-root"
        )
    if real and not root.is_dir():
        raise UltraFMError(
            f"data root {root}", "no such folder", "the folder that holds the images", "check --data-root"
        )


def check_profile(profile: str, parameters: dict[str, Any]) -> None:
    """Every value of a profile is a parameter of some notebook, with the right type."""
    declared = {step.name: declared_parameters(step.notebook) for step in ALL_STEPS}
    known = {name for names in declared.values() for name in names}
    for name in parameters:
        if name not in known:
            raise UltraFMError(
                f"profile {profile}", f"parameter {name!r}", f"a parameter of a notebook{nearest(name, known)}"
            )
    for step, names in declared.items():
        values = {name: value for name, value in parameters.items() if name in names}
        check_parameters(values, plan_of(step).notebook)


def step_parameters(plan: StudyPlan, step: StepPlan) -> dict[str, Any]:
    """The parameters of one notebook: those of the profile that it declares, and those of the study."""
    study = {
        "out": str(plan.folder), "profile": plan.profile, "seed": plan.seed, "source": plan.source,
        "manifests": str(plan.manifests), "data_root": str(plan.data_root or ""),
    }  # fmt: skip
    declared = declared_parameters(step.notebook)
    return {name: value for name, value in (plan.parameters | study).items() if name in declared}


def outside_inputs(plan: StudyPlan, step: StepPlan) -> list[str]:
    """Fingerprints of what a step reads from outside the study: manifests, and real images where it reads them."""
    if "manifests" not in step.rooms:
        return []
    found = [hash_files(plan.manifests.glob("*.yaml"), plan.manifests)]
    if borrowed := declared_parameters(step.notebook).get("pretrained"):
        other = step_parameters(plan, step).get("pretrained", borrowed.default)
        found.append(hash_folder(REPOSITORY / other / "20_pretrain" / "encoders"))
    if step.name == "10_curate":
        found += [people_decided(plan.manifests, site.site) for site in load_sites(plan.manifests)]
        found += image_hashes(plan, plan.manifests, plan.source)
    if compared := declared_parameters(step.notebook).get("real_manifests"):
        folder = find_manifests(step_parameters(plan, step).get("real_manifests", compared.default))
        found += [hash_files(folder.glob("*.yaml"), folder), *image_hashes(plan, folder, "default")]
    return found


def image_hashes(plan: StudyPlan, manifests: Path, source: str) -> list[str]:
    """Fingerprints of the folders below the data root that the sites of `manifests` read; none without a data root."""
    sources = [choose_source(site, source)[1] for site in load_sites(manifests)]
    folders = sorted({source.path for source in sources if not (is_simulated(source) or is_remote(source))})
    return [hash_folder(plan.data_root / folder) for folder in folders if plan.data_root]


def people_decided(manifests: Path, site: str) -> str:
    """What people decided in a site's lock. What curation itself wrote there does not make its own work out of date."""
    lock = read_lock(manifests, site)
    return f"{lock.withdrawn} {lock.withdrawn_pictures} {sorted(lock.signed)}"


def current_key(plan: StudyPlan, step: StepPlan, run: dict[str, Any]) -> str:
    """The step's fingerprint now. Paths are left out: only what is in them counts."""
    parameters = {name: value for name, value in step_parameters(plan, step).items() if name != "manifests"}
    inputs = [run["steps"].get(name, {}).get("output", "") for name in step.needs]
    return step_key(step, parameters, outside_inputs(plan, step) + inputs)


def is_finished(plan: StudyPlan, step: StepPlan, run: dict[str, Any], key: str) -> bool:
    """Did this very step run to its end, and are its files as it left them?"""
    entry = run["steps"].get(step.name, {})
    page = (plan.folder / f"{step.name}.html").exists()
    return (
        page
        and entry.get("status") == "finished"
        and entry["key"] == key
        and entry["output"] == step_output(plan.folder, step)
    )


def run_study(plan: StudyPlan, only: Sequence[str] = (), tell: Tell = lambda line: None) -> Path:
    """Run all steps, or those in `only`, and write results.json, run.json and index.html; the path of the index.

    `tell` is called with a line for each step and, on a terminal, for its cells. Raises UltraFMError when a step fails,
    after its notebook and page have been kept.
    """
    chosen = [plan_of(name) for name in dict.fromkeys(only)] or list(STEPS)
    claim_folder(plan.folder, Identity(plan.profile, plan.seed, plan.source, plan.manifests.name))
    with only_run(plan.folder):
        run = open_run(plan)
        failed = run_steps(plan, chosen, run, tell)
        index = finish_study(plan, run, tell)
    if failed:
        said = run["steps"][failed[0]]["error"].removeprefix(f"{UltraFMError.__name__}: ")
        raise StepFailed(failed[0], said, str(plan.folder / f"{failed[0]}.html"))
    return index


def run_steps(plan: StudyPlan, chosen: Sequence[StepPlan], run: dict[str, Any], tell: Tell) -> list[str]:
    """Run the chosen steps, each after those that it reads from; names of steps that failed, after which none is begun.

    Steps that compute in one process run two at a time. All but the notebooks themselves happens in this thread.
    """
    waiting, failed, warm = list(chosen), [], WarmStart()
    running: dict[Future[NotebookRun], tuple[StepPlan, str]] = {}
    with ThreadPoolExecutor(steps_at_once(plan)) as pool:
        while running or (waiting and not failed):
            for step in [] if failed else ready_steps(waiting, [begun for begun, _key in running.values()]):
                if len(running) == steps_at_once(plan):
                    break
                waiting.remove(step)
                key = current_key(plan, step, run)
                if is_finished(plan, step, run, key):
                    tell(f"{step.name}: finished before, skipped")
                    continue
                begin_step(plan, step, run, key)
                if len(waiting) > 1 and not warm.begun:
                    warm.begin(ENVIRONMENT)
                running[pool.submit(execute_step, plan, step, warm, tell)] = (step, key)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step, key = running.pop(future)
                if not end_step(plan, step, run, key, future.result(), pages(plan, chosen), tell):
                    failed.append(step.name)
    return failed


def ready_steps(waiting: Sequence[StepPlan], running: Sequence[StepPlan]) -> list[StepPlan]:
    """The waiting steps that read from none that is still waiting or running, in their order."""
    unfinished = {step.name for step in [*waiting, *running]}
    return [step for step in waiting if not unfinished & set(step.needs)]


def steps_at_once(plan: StudyPlan) -> int:
    """Two where the steps leave a core idle, else one."""
    return 2 if plan.parameters.get("workers", 1) == 1 and (os.cpu_count() or 1) > 1 else 1


def open_run(plan: StudyPlan) -> dict[str, Any]:
    """run.json of this study: what is known of this run, with the steps that an earlier run finished."""
    run = describe_run(plan.profile, plan.seed, plan.source, str(plan.parameters.get("precision", "fp32")))
    run["parameters"] = plan.parameters
    run["manifests"] = {site.stem: hash_text(site.read_text()) for site in sorted(plan.manifests.glob("*.yaml"))}
    path = plan.folder / "run.json"
    run["steps"] = read_json(path)["steps"] if path.exists() else {}
    write_json(path, run)
    return run


def begin_step(plan: StudyPlan, step: StepPlan, run: dict[str, Any], key: str) -> None:
    """Note in run.json that a step is running. Partial work of this very step is kept, other work removed."""
    folder = plan.folder / step.name
    if run["steps"].get(step.name, {}).get("key") != key:
        shutil.rmtree(folder, ignore_errors=True)
    (folder / "records.json").unlink(missing_ok=True)
    run["steps"][step.name] = {"status": "running", "key": key}
    write_json(plan.folder / "run.json", run)


def execute_step(plan: StudyPlan, step: StepPlan, warm: WarmStart, tell: Tell) -> NotebookRun:
    """Run the notebook of a step."""
    return run_notebook(
        step.notebook, plan.folder / f"{step.name}.ipynb", step_parameters(plan, step),
        on_cell=lambda cell, cells: tell(f"{step.name}: cell {cell} of {cells}\r"),
        on_progress=lambda line: tell(f"{step.name}: {line}\r"), warm=warm,
    )  # fmt: skip


def end_step(
    plan: StudyPlan, step: StepPlan, run: dict[str, Any], key: str, result: NotebookRun, linked: Sequence[Page],
    tell: Tell,
) -> bool:  # fmt: skip
    """Note in run.json how a step went, and write its page; whether it finished."""
    if nothing := NothingToDo.reason_in(result.error):
        write_json(plan.folder / step.name / "records.json", [])
        result = replace(result, ok=True)
    entry = {"key": key, "seconds": round(result.seconds, 1), "peak_memory_bytes": result.peak_memory_bytes}
    entry |= (
        {"status": "finished", "output": step_output(plan.folder, step), "note": nothing}
        if result.ok
        else {"status": "failed", "error": result.error}
    )
    run["steps"][step.name] = entry
    write_json(plan.folder / "run.json", run)
    target = plan.folder / f"{step.name}.ipynb"
    write_page(target, target.with_suffix(".html"), run, linked)
    if entry.get("note"):
        tell(f"{step.name}: nothing to do, {entry['note']}")
    tell(f"{step.name}: {entry['status']} in {result.seconds:.0f} s, {result.peak_memory_bytes / 2**30:.1f} GiB")
    return result.ok


def pages(plan: StudyPlan, chosen: Sequence[StepPlan] = ()) -> list[Page]:
    """The pages that the study has, or will have when the chosen steps have run, in order, for the navigation."""
    names = [step.name for step in ALL_STEPS if step in chosen or (plan.folder / f"{step.name}.html").exists()]
    return [Page(name, f"{name}.html") for name in names]


def mark_outdated(plan: StudyPlan, run: dict[str, Any], tell: Tell) -> None:
    """Note which steps rest on something that changed after they ran: their numbers belong to another study."""
    outdated: list[str] = []
    for step in ALL_STEPS:
        entry = run["steps"].get(step.name, {})
        if entry.get("status") not in ("finished", "out of date"):
            continue
        changed = [name for name in step.needs if name in outdated or name not in run["steps"]]
        same = entry["key"] == current_key(plan, step, run) and entry["output"] == step_output(plan.folder, step)
        if same and not changed:
            entry["status"] = "finished"
            continue
        outdated.append(step.name)
        cause = f"{', '.join(changed)} changed" if changed else "its code, parameters, input or files changed"
        entry |= {"status": "out of date", "error": f"{cause} after it ran; run the whole study again"}
        tell(f"{step.name}: out of date, its numbers are left out ({cause} after it ran)")
    write_json(plan.folder / "run.json", run)


def finish_study(plan: StudyPlan, run: dict[str, Any], tell: Tell) -> Path:
    """Gather the records of all steps that are up to date into results.json and write the index page."""
    mark_outdated(plan, run, tell)
    finished = [name for name in ALL_NAMES if run["steps"].get(name, {}).get("status") == "finished"]
    found = [read_json(plan.folder / name / "records.json") for name in finished]
    results = write_results(plan.folder / "results.json", found)
    return write_index(plan.folder, results, run, pages(plan), index_pictures(plan.folder), find_licences(plan.folder))


def find_licences(folder: Path) -> Table | None:
    """The licences of the curated sites, and what they ask of weights made from them; None before curation."""
    from ultrafm.curation.sheets.licences import carried, licence_table, licences  # late: it brings the whole room

    curated = folder / "10_curate" / "sites"
    entries = licences(curated, sorted(path.parent.name for path in curated.glob("*/datasheet.json")))
    if not entries:
        return None
    return Table("Licences, and what they ask of weights", licence_table(entries), carried(entries)["sentence"])


def index_pictures(folder: Path) -> dict[str, Path]:
    """The pictures that the index shows: caption -> file, of those steps that left theirs."""
    gallery = "One curated picture of each site, and the edge of what was kept of it (orange)"
    pictures = {
        gallery: folder / "10_curate" / "gallery.png",
        "Hidden patches and what each model makes of them": folder / "20_pretrain" / "reconstructions.png",
    }
    return {caption: path for caption, path in pictures.items() if path.exists()}
