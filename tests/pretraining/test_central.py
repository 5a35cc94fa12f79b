"""Central pre-training and its checkpoints: killed anywhere, the continued run ends with the same bits."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from ultrafm.errors import UltraFMError
from ultrafm.pretraining.central import batches_per_round, pretrain_centrally, round_batches, trained_model
from ultrafm.pretraining.checkpoint import load_checkpoint, newest_facts, save_checkpoint
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import as_scans

TINY = Recipe(
    image_size=32, width=32, depth=1, heads=2, decoder_width=16, decoder_depth=1, batch_size=4, masking="texture",
    scan_conversion="correct", degraded_share=0.5, decoded_share=0.5,
)  # fmt: skip
GREY = GreyScale(0.5, 0.25)


def stripes():
    """Twelve pictures of stripes at different angles: easy to learn, so that a loss must fall."""
    y, x = np.mgrid[:32, :32]
    angles = np.linspace(0, np.pi, 12, endpoint=False)
    waves = [np.sin((x * np.cos(angle) + y * np.sin(angle)) / 2) for angle in angles]
    return as_scans(((np.stack(waves) + 1) * 127).astype(np.uint8), np.ones((12, 32, 32), bool))


def train_centrally(folder, rounds, recipe=TINY, **options):
    return pretrain_centrally("pooled", folder, recipe, stripes(), stripes(), GREY, rounds, 20, seed=3, **options)


def same_weights(one, other):
    return all(torch.equal(weight, other.state_dict()[name]) for name, weight in one.state_dict().items())


@pytest.mark.parametrize(("images", "pictures"), [(10, 25), (10, 10), (3, 40), (50, 20)])
def test_a_central_round_shows_the_pictures_it_should(images, pictures):
    batches = list(round_batches(images, 4, pictures, np.random.default_rng(0)))
    assert len(batches) == batches_per_round(images, 4, pictures)
    assert pictures <= sum(map(len, batches)) < pictures + 4


def test_training_lowers_the_loss(tmp_path):
    _, history = train_centrally(tmp_path, 24, Recipe(**{**TINY.settings(), "scan_conversion": "none"}))
    assert history[-1]["validation_loss"] < 0.9 * history[0]["validation_loss"]
    assert [row["round"] for row in history] == list(range(25))


def test_a_state_of_other_settings_is_not_continued(tmp_path):
    train_centrally(tmp_path, 2)
    _, history = train_centrally(tmp_path, 3)
    assert [row["round"] for row in history] == [0, 1, 2, 3]
    fresh, _ = train_centrally(tmp_path / "fresh", 3)
    again, _ = train_centrally(tmp_path, 3)
    assert same_weights(fresh, again) and same_weights(fresh, trained_model(tmp_path, TINY, 3))


def test_no_picture_is_told():
    with pytest.raises(UltraFMError, match="pre-training, pooled: found no picture"):
        pretrain_centrally("pooled", None, TINY, stripes().rows(np.arange(0)), stripes(), GREY, 1, 20, 3)


def test_a_run_without_validation_pictures_has_no_validation_loss(tmp_path):
    nobody = stripes().rows(np.arange(0))
    _, history = pretrain_centrally("pooled", tmp_path, TINY, stripes(), nobody, GREY, 1, 20, 3)
    assert [row["validation_loss"] for row in history] == [None, None] and history[1]["loss"] > 0


# ---- killed, by itself, at a chosen moment: before, during and after the n-th write of a checkpoint, or in a step ----
CHILD = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from tests.pretraining.test_central import train_centrally
moment, number, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
count = 0

def due():
    global count
    count += 1
    if count == number:
        os.kill(os.getpid(), signal.SIGKILL)

import ultrafm.files, ultrafm.pretraining.checkpoint as room, ultrafm.pretraining.weights as weights
replace, save, write = ultrafm.files.os.replace, room.save_state, weights.save_file

def half_written(tensors, path, metadata):
    write(tensors, path, metadata=metadata)
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    due()
    Path(path).write_bytes(data)

def before(*arguments, **named):
    due()
    return save(*arguments, **named)

def after(*arguments):
    replace(*arguments)
    due()

def in_step(step):
    def wrapped(*arguments, **named):
        due()
        return step(*arguments, **named)
    return wrapped

if moment == "before":
    room.save_state = before
elif moment == "during":
    weights.save_file = half_written
elif moment == "after":
    ultrafm.files.os.replace = after
elif moment == "step":
    torch.optim.AdamW.step = in_step(torch.optim.AdamW.step)
train_centrally(folder, 3, saved_every=0.0)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, history = train_centrally(tmp_path_factory.mktemp("whole"), 3)
    torch.set_num_threads(threads)
    return model, history


@pytest.mark.parametrize(
    ("moment", "number"),
    [("before", 1), ("before", 4), ("during", 3), ("during", 6), ("after", 2), ("after", 9), ("step", 1), ("step", 8)],
)
def test_killed_anywhere_it_ends_with_the_same_bits(tmp_path, whole, moment, number):
    """15 steps in 3 rounds, a checkpoint after every step; the process kills itself with kill -9."""
    command = [sys.executable, "-c", CHILD, moment, str(number), str(tmp_path)]
    killed = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    resumed, history = train_centrally(tmp_path, 3)
    torch.set_num_threads(threads)
    assert same_weights(whole[0], resumed) and history == whole[1]


def test_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    for number in (1, 2, 3):
        save_checkpoint(tmp_path, number, {"a": torch.full((9,), float(number))}, {"settings": "s", "round": number})
    first, last = sorted(tmp_path.glob("*.safetensors"))
    data = bytearray(last.read_bytes())
    data[-3] ^= 1  # one flipped bit, in a file that can be read
    last.write_bytes(data)
    with pytest.warns(UserWarning, match="000000003.*do not match their checksum.*before it"):
        tensors, facts = load_checkpoint(tmp_path, "s")
    assert tensors["a"].tolist() == [2.0] * 9 and facts["round"] == 2
    first.unlink()
    with pytest.warns(UserWarning, match="checksum"):
        assert load_checkpoint(tmp_path, "s") is None


def test_a_passing_checkpoint_goes_when_the_next_one_is_there(tmp_path):
    def kinds():
        return sorted(path.name.split("_")[0] for path in tmp_path.glob("*.safetensors"))

    def save(number, lasting):
        save_checkpoint(tmp_path, number, {"a": torch.zeros(1)}, {"settings": "s", "round": number}, lasting)

    save(1, True)
    save(2, False)
    save(3, False)
    assert kinds() == ["checkpoint", "passing"] and newest_facts(tmp_path)["round"] == 3
    save(4, True)
    save(5, True)
    assert kinds() == ["checkpoint", "checkpoint"] and newest_facts(tmp_path)["round"] == 5


def test_checkpoints_of_other_settings_are_never_continued(tmp_path):
    save_checkpoint(tmp_path, 9, {"a": torch.zeros(1)}, {"settings": "one", "round": 9})
    assert load_checkpoint(tmp_path, "other") is None and load_checkpoint(tmp_path, "one")[1]["round"] == 9
    save_checkpoint(tmp_path, 1, {"a": torch.ones(1)}, {"settings": "other", "round": 1})
    assert load_checkpoint(tmp_path)[1]["round"] == 1, "the run that was begun last"
    assert json.dumps(newest_facts(tmp_path))


def test_a_state_that_goes_while_it_is_looked_at_is_passed_over(tmp_path, monkeypatch):
    """A bar that asks for the newest round must not stop a study because the round after it was kept meanwhile."""
    import ultrafm.pretraining.checkpoint as room

    for number in (1, 2):
        save_checkpoint(tmp_path, number, {"a": torch.ones(3)}, {"settings": "s", "round": number})
    newest = room.newest_first(tmp_path)[0]
    open_it = room.load_facts

    def goes(path):
        if path == newest:
            path.unlink()
        return open_it(path)

    monkeypatch.setattr(room, "load_facts", goes)
    monkeypatch.setattr(torch.UntypedStorage, "from_file", lambda *_, **__: pytest.fail("facts need no tensor"))
    assert newest_facts(tmp_path)["round"] == 1
