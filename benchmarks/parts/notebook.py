"""This program against a straightforward loop, as in a notebook whose gradient reaches the noise: one trial at a time,
text encoded at each iteration, no checkpointing, each image to PIL and PNG in the loop."""

from __future__ import annotations

import dataclasses
import io
import time
from dataclasses import dataclass
from statistics import median

import torch
from PIL import Image

from benchmarks.apart import apart
from benchmarks.jobs import loaded
from benchmarks.rows import Row
from benchmarks.setting import Setting, prompts, seeds, setting_from
from benchmarks.timing import in_turn, peak_bytes, ratio
from reno.device.choice import choose_device, make_deterministic
from reno.running.batch import run_batch
from reno.running.fit.cards import GIB
from reno.running.plan import cut, make_plan
from reno.weights.folders import CLIP_MEAN, CLIP_STD
from reno.weights.reading import variant_in


@dataclass(frozen=True)
class NotebookEffort:
    trials: int
    iterations: int
    """The first iteration of a process is not counted."""
    rounds: int


EFFORTS = {
    "quick": NotebookEffort(1, 2, 1),
    "testbed": NotebookEffort(8, 10, 5),
    "full": NotebookEffort(1, 3, 1),
    "gpu": NotebookEffort(1, 20, 3),
}


def measure(setting: Setting) -> list[Row]:
    effort = EFFORTS[setting.effort]
    peaks: dict[str, list[int]] = {"notebook": [], "ours": []}

    def seconds(side: str) -> float:
        found = apart(
            f"benchmarks.parts.notebook:{side}",
            setting=dataclasses.asdict(setting), trials=effort.trials, iterations=effort.iterations,
        )  # fmt: skip
        peaks[side].append(found["peak"])
        return found["seconds"]

    found = in_turn({side: lambda side=side: seconds(side) for side in peaks}, effort.rounds)
    gib = {side: [peak / GIB for peak in values] for side, values in peaks.items()}
    return [
        Row(
            "an iteration of one trial",
            median(found["ours"]), "s",
            "the notebook's loop", median(found["notebook"]), ratio(found["ours"], found["notebook"]),
        ),
        Row(
            "peak memory of the process" if "device=cpu" in setting.words else "peak memory of the GPU's tensors",
            median(gib["ours"]), "GiB",
            "the notebook's loop", median(gib["notebook"]), ratio(gib["ours"], gib["notebook"]),
        ),
    ]  # fmt: skip


def ours(setting: dict, trials: int, iterations: int) -> dict[str, float]:
    """Seconds that this program's loop takes for one iteration of one trial, and the peak of memory in bytes."""
    asked = setting_from(setting)
    job = asked.job(prompts(1), seeds(trials), f"iterations={iterations}")
    plan, models, device = loaded(job)
    spent, counted = 0.0, 0
    for number, batch in enumerate(cut(plan.trials, job.batch_size)):
        *_, done = run_batch(batch, job.settings, job.metric.name, models)
        rows = done.trials[0].trace[:iterations]
        if number == 0:
            rows = rows[1:]
        spent += sum(row["seconds"] for row in rows)
        counted += len(rows) * len(batch)
    return {"seconds": spent / counted, "peak": peak_bytes(device)}


def notebook(setting: dict, trials: int, iterations: int) -> dict[str, float]:
    """The same for the straightforward loop. Its weights are frozen, and its whole VAE is loaded."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import AutoTokenizer, CLIPModel, CLIPTextModel

    job = setting_from(setting).job(prompts(1))
    plan = make_plan(job)
    make_deterministic(job.threads)
    device, dtype = choose_device(job.device), getattr(torch, plan.dtype)
    checkpoint = plan.generator.checkpoint
    folder, variant = checkpoint.folder, checkpoint.variant

    def piece(kind, name):
        stored = variant_in(folder / name, variant)
        whole = kind.from_pretrained(folder / name, variant=stored, torch_dtype=dtype, use_safetensors=True)
        return whole.to(device).requires_grad_(False)

    text_encoder = piece(CLIPTextModel, "text_encoder")
    unet = piece(UNet2DConditionModel, "unet")
    vae = piece(AutoencoderKL, "vae")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    scheduler = EulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    metric_folder = plan.metric.checkpoints[0].folder
    clip = CLIPModel.from_pretrained(metric_folder, dtype=dtype).to(device).requires_grad_(False)
    clip_tokenizer = AutoTokenizer.from_pretrained(metric_folder)
    side = clip.config.vision_config.image_size
    mean = torch.tensor(CLIP_MEAN, device=device)[:, None, None]
    std = torch.tensor(CLIP_STD, device=device)[:, None, None]
    prompt = job.prompts[0].text
    seconds, losses, pictures = [], [], []
    for seed in range(trials):
        shape = (1, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device).requires_grad_(True)
        optimizer = torch.optim.Adam([noise], lr=job.settings.lr)
        for _ in range(iterations):
            started = time.perf_counter()
            tokens = tokenizer(prompt, padding="max_length", return_tensors="pt").to(device)
            text = text_encoder(tokens.input_ids)[0]
            scheduler.set_timesteps(1, device=device)
            (step,) = scheduler.timesteps
            latents = noise * scheduler.init_noise_sigma
            output = unet(scheduler.scale_model_input(latents, step).to(dtype), step, text).sample
            clean = scheduler.step(output, step, latents).prev_sample.to(dtype)
            image = (vae.decode(clean / vae.config.scaling_factor).sample.float() / 2 + 0.5).clamp(0, 1)
            pixels = torch.nn.functional.interpolate(image, (side, side), mode="bicubic", antialias=True)
            seen = clip.get_image_features(((pixels - mean) / std).to(dtype)).pooler_output.float()
            read = clip_tokenizer(prompt, return_tensors="pt").to(device)
            meant = clip.get_text_features(read.input_ids, attention_mask=read.attention_mask).pooler_output.float()
            loss = 100 - clip.logit_scale.exp() * torch.nn.functional.cosine_similarity(seen, meant).sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            levels = (image[0].detach().permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
            file = io.BytesIO()
            Image.fromarray(levels).save(file, "PNG")
            pictures.append(file)
            losses.append(loss.item())  # printed, in a notebook
            seconds.append(time.perf_counter() - started)
    counted = seconds[1:]
    return {"seconds": sum(counted) / len(counted), "peak": peak_bytes(device), "losses": losses}
