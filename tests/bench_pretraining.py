"""Speed of pre-training: our step beside a plain masked-autoencoder step, in one run.

The plain step is written from the paper in the simplest way (He et al. 2022): timm blocks, only visible tokens encoded,
fp32, one picture channel; same sizes, same batch. `python -m tests.bench_pretraining` measures on the graphics card
when torch sees one, else on the processor; `--curves` compares loss curves
instead.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from ultrafm.files import write_json
from ultrafm.pretraining import precision as exactness
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import epoch_batches, image_losses, make_optimizer, prepare, train
from ultrafm.pretraining.model import sine_positions
from ultrafm.pretraining.recipe import Recipe, build_model, recipe_of_size
from ultrafm.pretraining.scans import Scans, as_batch, as_scans
from ultrafm.pretraining.views import training_view
from ultrafm.seeds import spawn, spawn_torch
from ultrafm.study import REPOSITORY
from ultrafm.workers import worker_pool

GREY = GreyScale(0.5, 0.29)
PAPER = recipe_of_size(
    "base", image_size=224, batch_size=8, masking="texture", scan_conversion="correct", degraded_share=0.5,
    precision="auto",
)  # fmt: skip


class PlainMaskedAutoencoder(nn.Module):
    """The paper's model in the simplest way: every hidden patch is a token of the decoder, put where it belongs."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        grid, wide = recipe.image_size // recipe.patch_size, recipe.decoder_width
        self.patch, self.count = recipe.patch_size, grid * grid
        self.encoder = VisionTransformer(
            img_size=recipe.image_size, patch_size=recipe.patch_size, in_chans=1, num_classes=0,
            embed_dim=recipe.width, depth=recipe.depth, num_heads=recipe.heads,
        )  # fmt: skip
        places = torch.cat([torch.zeros(1, recipe.width), sine_positions(recipe.width, grid)])
        self.encoder.pos_embed = nn.Parameter(places[None], requires_grad=False)
        self.narrow = nn.Linear(recipe.width, wide)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, wide))
        places = torch.cat([torch.zeros(1, wide), sine_positions(wide, grid)])
        self.places = nn.Parameter(places[None], requires_grad=False)
        heads = max(wide // 32, 1)
        self.decoder = nn.Sequential(*[Block(wide, heads, qkv_bias=True) for _ in range(recipe.decoder_depth)])
        self.norm, self.pixels = nn.LayerNorm(wide), nn.Linear(wide, self.patch**2)

    def forward(self, pictures: torch.Tensor, ratio: float, generator: torch.Generator) -> torch.Tensor:
        """The loss of pictures (B, 1, S, S): mean squared error on hidden patches, normalised per patch."""
        encoder, batch = self.encoder, len(pictures)
        noise = torch.rand(batch, self.count, generator=generator).to(pictures.device)
        shuffled = noise.argsort(dim=1)
        keep, back = shuffled[:, : round(self.count * (1 - ratio))], shuffled.argsort(dim=1)
        tokens = encoder.patch_embed(pictures) + encoder.pos_embed[:, 1:]
        tokens = tokens.gather(1, keep[:, :, None].expand(-1, -1, tokens.shape[-1]))
        first = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(batch, -1, -1)
        known = self.narrow(encoder.norm(encoder.blocks(torch.cat([first, tokens], dim=1))))
        unknown = self.mask_token.expand(batch, self.count - keep.shape[1], -1)
        all_places = torch.cat([known[:, 1:], unknown], dim=1)
        all_places = all_places.gather(1, back[:, :, None].expand(-1, -1, all_places.shape[-1]))
        tokens = torch.cat([known[:, :1], all_places], dim=1) + self.places
        predicted = self.pixels(self.norm(self.decoder(tokens)))[:, 1:]
        side = pictures.shape[-1] // self.patch
        tiles = pictures.reshape(batch, side, self.patch, side, self.patch).transpose(2, 3)
        target = tiles.reshape(batch, self.count, -1)
        mean, variance = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
        error = ((predicted - (target - mean) / (variance + 1e-4).sqrt()) ** 2).mean(dim=-1)
        hidden = torch.ones_like(noise).scatter(1, keep, 0.0)
        return (error * hidden).sum() / hidden.sum()


def plain_step(recipe: Recipe, scans: Scans, device: torch.device) -> Callable[[], float]:
    """One step of the plain model: pictures as they are, AdamW with one group, clipped."""
    model = plain_model(recipe).to(device)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05)
    generator = spawn_torch(0, "plain")
    rows = np.arange(recipe.batch_size)

    def step() -> float:
        pictures = GREY.apply(as_batch(scans, rows, device).pictures)
        loss = model(pictures, recipe.mask_ratio, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return loss.item()

    return step


def plain_model(recipe: Recipe, seed: int = 0) -> PlainMaskedAutoencoder:
    """The plain model, seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PlainMaskedAutoencoder(recipe)


def our_step(recipe: Recipe, scans: Scans, device: torch.device) -> Callable[[], float]:
    """One step of ours, augmentation and masking included."""
    model = build_model(recipe, 0).to(device)
    optimizer = make_optimizer(model, recipe.weight_decay)
    generator, rows = spawn_torch(0, "ours"), [np.arange(recipe.batch_size)]
    return lambda: train(model, optimizer, scans, rows, lambda _step: 1e-4, GREY, recipe, generator)


def waves(count: int, side: int, seed: int = 0) -> Scans:
    """Pictures of plane waves of random direction and length: what goes on from patch to patch can be learnt soon."""
    draw = spawn(seed, "bench pictures")
    angle, length, phase = (draw.uniform(*ends, (count, 1, 1)) for ends in ((0, np.pi), (side / 8, side / 3), (0, 7)))
    rows, columns = np.mgrid[:side, :side]
    wave = np.sin((columns * np.cos(angle) + rows * np.sin(angle)) * 2 * np.pi / length + phase)
    images = (127 * (wave + 1)).astype(np.uint8)
    return as_scans(images, np.ones(images.shape, bool))


def multiply_adds(recipe: Recipe, decoded_share: float) -> float:
    """Multiply-adds of a training step for one picture: matrix products of forward and backward, attention included."""
    patches = (recipe.image_size // recipe.patch_size) ** 2
    seen = 1 + round(patches * (1 - recipe.mask_ratio))
    decoded = seen + round((patches - seen + 1) * decoded_share)

    def block(tokens: int, width: int) -> float:
        return tokens * 12 * width**2 + 2 * tokens**2 * width

    edges = (seen - 1) * recipe.patch_size**2 * recipe.width + seen * recipe.width * recipe.decoder_width
    edges += (decoded - seen) * recipe.decoder_width * recipe.patch_size**2
    forward = recipe.depth * block(seen, recipe.width) + recipe.decoder_depth * block(decoded, recipe.decoder_width)
    return 3.0 * (forward + edges)


def matrix_rate(kind: torch.dtype, device: torch.device) -> float:
    """Multiply-adds per second of a large matrix product, the best of ten."""
    side = 8192 if device.type == "cuda" else 2048
    first, second = (torch.randn(side, side, dtype=kind, device=device) for _ in range(2))
    best = min(timed(lambda: first @ second, device) for _ in range(10))
    return side**3 / best


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that `work` takes, on the card to its end."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(works: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, list[float]]:
    """Seconds of each work, taken in turn `repeats` times, after one round that does not count."""
    for work in works.values():
        timed(work, device)
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            found[name].append(timed(work, device))
    return found


def view_seconds(recipe: Recipe, scans: Scans, device: torch.device, repeats: int) -> float:
    """Seconds of augmentation, texture and masking for one step, without the model."""
    batch, generator = as_batch(scans, np.arange(recipe.batch_size), device), spawn_torch(0, "views")
    return statistics.median(
        in_turn({"view": lambda: training_view(batch, recipe, generator)}, device, 4 * repeats)["view"]
    )


def where_time_goes(step: Callable[[], object], device: torch.device, count: int = 8) -> dict[str, float]:
    """The operations that take most of a step: name -> share of the time."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    step()
    with torch.profiler.profile(activities=kinds) as profile:
        step()
    field = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    rows = sorted(profile.key_averages(), key=lambda row: -getattr(row, field))
    total = sum(getattr(row, field) for row in rows)
    return {row.key: round(getattr(row, field) / total, 4) for row in rows[:count]}


def memory_alone(make: Callable[[Recipe, Scans, torch.device], Callable[[], float]], recipe: Recipe) -> int:
    """Bytes that a process, or the card, holds at most that does nothing but two steps of this kind."""
    with worker_pool(1) as pool:
        return pool.submit(_two_steps, make, recipe).result()


def _two_steps(make: Callable[[Recipe, Scans, torch.device], Callable[[], float]], recipe: Recipe) -> int:
    device = exactness.pick_device()
    step = make(recipe, waves(recipe.batch_size, recipe.image_size), device)
    step(), step()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()  # the getrusage of a new process tells of its parent's too
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def bench_step(recipe: Recipe = PAPER, repeats: int = 5) -> dict:
    """Pictures per second: the plain fp32 step, ours as it comes, and ours with one gain after the other left out.

    "ours" compiles where the device gains by it; the others do not. "all_decoded": every hidden patch is decoded.
    """
    device = exactness.pick_device()
    scans = waves(recipe.batch_size, recipe.image_size)
    eager = replace(recipe, compiled="off")
    variants = {
        "ours": recipe,
        "ours_uncompiled": eager,
        "ours_uncompiled_all_decoded": replace(eager, decoded_share=1.0),
        "ours_fp32": replace(recipe, precision="fp32"),
        "ours_fp32_uncompiled_all_decoded": replace(eager, precision="fp32", decoded_share=1.0),
    }
    works = {"plain_fp32": plain_step(recipe, scans, device)}
    works |= {name: our_step(variant, scans, device) for name, variant in variants.items()}
    times = in_turn(works, device, repeats)
    medians = {name: statistics.median(one) for name, one in times.items()}
    rates = {"fp32": matrix_rate(torch.float32, device), "bf16": matrix_rate(torch.bfloat16, device)}
    chosen = prepare(build_model(replace(recipe, depth=1, decoder_depth=1), 0), recipe, device)
    work = {name: multiply_adds(recipe, 1.0 if "all" in name or "plain" in name else recipe.decoded_share)
            for name in works}  # fmt: skip
    views = view_seconds(recipe, scans, device, repeats)
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads",
        "precision": chosen,
        "pictures_per_second": {name: recipe.batch_size / seconds for name, seconds in medians.items()},
        "times_the_plain_step": {
            name: statistics.median(plain / own for plain, own in zip(times["plain_fp32"], one))
            for name, one in times.items()
        },
        "matrix_product_gflops": {name: 2 * rate / 1e9 for name, rate in rates.items()},
        "share_of_the_matrix_product_rate": {
            name: work[name] * recipe.batch_size / seconds / rates["fp32" if "fp32" in name else chosen]
            for name, seconds in medians.items()
        },
        "view_milliseconds_per_picture": 1e3 * views / recipe.batch_size,
        "view_share_of_the_step": views / medians["ours"],
        "where_time_goes": where_time_goes(works["ours"], device),
        "where_time_goes_plain": where_time_goes(works["plain_fp32"], device),
        "peak_memory_bytes": {
            "plain_fp32": memory_alone(plain_step, recipe),
            "ours": memory_alone(our_step, recipe),
            "ours_uncompiled": memory_alone(our_step, eager),
        },
    }  # fmt: skip


def bench_curves(seeds: int = 3, steps: int = 240, points: int = 6) -> dict:
    """Loss on held-out pictures while models are trained by the plain step and by ours, on the same batches.

    No augmentation and uniform masks, as the plain step has none; size `laptop`, on the device that is there. For each
    of ours: the curve's mean over seeds, the final difference from the plain step and the noise of seeds, which is the
    plain step's largest difference between two seeds. "equal": is the difference within that noise?
    """
    recipe = recipe_of_size("laptop", batch_size=32, smallest_crop=1.0, gain_spread=0.0, compiled="off")
    scans, held_out = waves(256, 64), waves(64, 64, seed=1)
    parts = [*range(0, steps + 1, steps // points)]
    arms = {
        "ours_bf16_half_decoded": replace(recipe, precision="bf16", decoded_share=0.5),
        "ours_bf16": replace(recipe, precision="bf16"),
        "ours_fp32": replace(recipe, precision="fp32"),
    }
    curves: dict[str, list[list[float]]] = {"plain_fp32": [], **{name: [] for name in arms}}
    for seed in range(seeds):
        batches = [*epoch_batches(256, 32, -(-steps // 8), spawn(seed, "bench batches"))][:steps]
        pieces = [batches[start:end] for start, end in itertools.pairwise(parts)]
        curves["plain_fp32"].append(plain_curve(recipe, scans, held_out, pieces, seed))
        for name, arm in arms.items():
            curves[name].append(our_curve(arm, scans, held_out, pieces, seed))
    ends = {name: [curve[-1] for curve in found] for name, found in curves.items()}
    noise = max(ends["plain_fp32"]) - min(ends["plain_fp32"])
    plain = statistics.mean(ends["plain_fp32"])
    return {
        "steps": parts[1:], "noise_of_seeds": noise,
        **{
            name: {
                "curve": np.mean(found, axis=0).tolist(), "ends": ends[name],
                "difference": statistics.mean(ends[name]) - plain,
                "equal": abs(statistics.mean(ends[name]) - plain) <= noise,
            }
            for name, found in curves.items()
        },
    }  # fmt: skip


def our_curve(
    recipe: Recipe, scans: Scans, held_out: Scans, pieces: Sequence[Sequence[np.ndarray]], seed: int
) -> list[float]:
    """Held-out loss of our model after each piece of the batches."""
    model = build_model(recipe, seed).to(exactness.pick_device())
    optimizer, generator = make_optimizer(model, recipe.weight_decay), spawn_torch(seed, "curve")
    exact, losses = replace(recipe, precision="fp32"), []
    for batches in pieces:
        train(model, optimizer, scans, batches, lambda _step: 1e-3, GREY, recipe, generator)
        losses.append(float(image_losses(model, held_out, GREY, exact, spawn_torch(0, "masks")).mean()))
    return losses


def plain_curve(
    recipe: Recipe, scans: Scans, held_out: Scans, pieces: Sequence[Sequence[np.ndarray]], seed: int
) -> list[float]:
    """Held-out loss of the plain model after each piece of the batches."""
    device = exactness.pick_device()
    model = plain_model(recipe, seed).to(device)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05)
    generator, losses = spawn_torch(seed, "curve"), []
    seen = GREY.apply(as_batch(held_out, np.arange(len(held_out)), device).pictures)
    for batches in pieces:
        for rows in batches:
            loss = model(GREY.apply(as_batch(scans, rows, device).pictures), recipe.mask_ratio, generator)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
        with torch.inference_mode():
            losses.append(float(model(seen, recipe.mask_ratio, spawn_torch(0, "masks"))))
    return losses


def bench_pretraining() -> dict:
    """The paper's step on this machine with all its threads, and loss curves; on the processor, or a card if any."""
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        return {"step": bench_step(), "curves": bench_curves()}
    finally:
        torch.set_num_threads(threads)


def main() -> None:
    """Measure, print, and write reports/bench/pretraining_<device>.json or curves_<device>.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8, help="pictures in a step; a card is kept busy by 64 and more")
    parser.add_argument("--curves", action="store_true", help="compare loss curves over seeds instead")
    asked = parser.parse_args()
    name = exactness.pick_device().type
    if asked.curves:
        part, found = "curves", bench_curves()
    else:
        part, found = "pretraining", bench_step(replace(PAPER, batch_size=asked.batch), asked.repeats)
    write_json(REPOSITORY / "reports" / "bench" / f"{part}_{name}.json", found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
