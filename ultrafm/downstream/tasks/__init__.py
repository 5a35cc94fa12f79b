"""Tasks: what is asked, of which labelled, outlined or measured images, and how they are dealt into turns."""

from ultrafm.downstream.tasks.answers import answer_names, answer_truth, class_truth
from ultrafm.downstream.tasks.data import COLUMNS, CROSS_VALIDATION, FIXED_FOLDS, NO_DESIGN, TaskData, patient_names
from ultrafm.downstream.tasks.describe import count_tasks, describe_tasks
from ultrafm.downstream.tasks.select import require_tasks, select_task, select_tasks
from ultrafm.downstream.tasks.turns import Turn, turns
from ultrafm.manifests.question import CLASSIFYING

__all__ = [
    "CLASSIFYING",
    "COLUMNS",
    "CROSS_VALIDATION",
    "FIXED_FOLDS",
    "NO_DESIGN",
    "TaskData",
    "Turn",
    "answer_names",
    "answer_truth",
    "class_truth",
    "count_tasks",
    "describe_tasks",
    "patient_names",
    "require_tasks",
    "select_task",
    "select_tasks",
    "turns",
]
