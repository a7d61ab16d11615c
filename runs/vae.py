"""Train a small autoencoder (diffusers' AutoencoderTiny) on a data set: a first stage for `s2id train --vae`.

    python runs/vae.py celeba --data data --long-side 64 --minutes 10 --out out/vae

Squared error on random crops. Noise on the latents in training and a small price on their size, as a KL term of fixed
variance has, leave them smooth and about as large in every channel. Written is what diffusers writes: config.json and
.safetensors. Printed is the PSNR of held-out pictures through it; a folder has none, so it is of training pictures.
`--factor` is pixels per latent's side.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch.nn import functional as F

from s2id.data.pictures import Pictures
from s2id.data.registry import load_pictures
from s2id.media.images import tile, to_float, write
from s2id.memory import keep_memory

NOISE, PRICE = 0.1, 1e-3


def small(channels: int, factor: int, width: int, latents: int) -> AutoencoderTiny:
    """One residual block per resolution."""
    levels = int(math.log2(factor)) + 1
    return AutoencoderTiny(
        in_channels=channels,
        out_channels=channels,
        encoder_block_out_channels=(width,) * levels,
        decoder_block_out_channels=(width,) * levels,
        num_encoder_blocks=(1,) * levels,
        num_decoder_blocks=(1,) * levels,
        latent_channels=latents,
    )


def crops(pictures: Pictures, batch: int, side: int, generator: torch.Generator) -> torch.Tensor:
    """Random windows of random pictures of one group."""
    sizes = torch.tensor([float(len(group.labels)) for group in pictures.groups])
    images = pictures.groups[int(torch.multinomial(sizes, 1, generator=generator))].images
    h, w = (min(side, full) for full in images.shape[2:])
    chosen = torch.randint(len(images), (batch,), generator=generator)
    top, left = (
        torch.randint(full - part + 1, (batch,), generator=generator).tolist()
        for full, part in zip(images.shape[2:], (h, w), strict=True)
    )
    parts = [images[i, :, y : y + h, x : x + w] for i, y, x in zip(chosen.tolist(), top, left, strict=True)]
    return to_float(torch.stack(parts))


@torch.inference_mode()
def judged(vae: AutoencoderTiny, pictures: Pictures, factor: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Held-out pictures, cropped to whole latents, and what comes back."""
    images = max(pictures.groups, key=lambda group: len(group.labels)).images[:count]
    h, w = (side // factor * factor for side in images.shape[2:])
    x = to_float(images[..., :h, :w])
    return x, torch.cat([vae(part).sample for part in x.split(50)]).clamp(-1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--alpha", help="what becomes of transparency, as for s2id train")
    parser.add_argument("--long-side", type=int)
    parser.add_argument("--factor", type=int, default=4, choices=(2, 4, 8, 16))
    parser.add_argument("--latents", type=int, default=4, help="channels")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--crop", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--out", type=Path, default=Path("out/vae"))
    args = parser.parse_args()
    keep_memory()
    torch.manual_seed(0)
    train = load_pictures(args.name, args.data, "train", args.long_side, alpha=args.alpha)
    test = (
        train
        if args.name == "folder"
        else load_pictures(args.name, args.data, "test", args.long_side, alpha=args.alpha)
    )
    vae = small(train.channels, args.factor, args.width, args.latents)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    start, steps, done = time.monotonic(), 0, 0.0
    while done < 1:
        x = crops(train, args.batch, args.crop, generator)
        z = vae.encode(x).latents
        error = F.mse_loss(vae.decode(z + NOISE * torch.randn_like(z)).sample, x)
        (error + PRICE * z.square().mean()).backward()
        for group in optimiser.param_groups:
            group["lr"] = args.lr * min(1.0, (steps + 1) / 100) * 0.5 * (1 + math.cos(math.pi * done))
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        steps += 1
        done = min(1.0, (time.monotonic() - start) / (60 * args.minutes))
        if steps % 200 == 0:
            print(json.dumps({"crops": steps * args.batch, "error": round(error.item(), 5)}), flush=True)
    vae.eval().save_pretrained(args.out, safe_serialization=True)
    x, back = judged(vae, test, args.factor, 200)
    psnr = 10 * (4 / (x - back).square().flatten(1).mean(1)).log10()
    with torch.inference_mode():
        z = vae.encode(x).latents
    facts = {
        "data": str(test),
        "held out": args.name != "folder",
        "parameters": sum(p.numel() for p in vae.parameters()),
        "crops": steps * args.batch,
        "psnr": round(psnr.mean().item(), 2),
        "latents' std": [round(s, 3) for s in z.std((0, 2, 3)).tolist()],
    }
    print(json.dumps(facts, indent=1))
    write(args.out / "reconstructed.png", tile(torch.stack([x[:8], back[:8]]).flatten(0, 1), 8))


if __name__ == "__main__":
    main()
