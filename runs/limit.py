"""What a perfect function would score at 37x37 against 28x28: exact area means of one fine picture.

    python runs/limit.py

37 pixels do not divide into 28: averaging them assumes that each is flat, which costs more than the renderer does.
"""

import s2id
from s2id.images import resize

model = s2id.load("mnist")
fine = s2id.sample(model, [seed % 10 for seed in range(20)], range(20)).render((28 * 37, 28 * 37)).clamp(-1, 1)
through_37 = resize(resize(fine, (37, 37)), (28, 28))
psnr = 10 * (4 / (resize(fine, (28, 28)) - through_37).square().flatten(1).mean(1)).log10()
print(f"median {psnr.median():.2f} dB, worst {psnr.min():.2f} dB")
