"""PyTorch's side of bench:picture-model: a random model of the same configuration; one line in, one line out."""

import json
import re
import resource
import sys
import time

import torch
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.image_processing_utils import select_best_resolution

# The recipes as patterns on the names of transformers 5 (docs/models.md).
patterns = {"sa_proj": r"language_model\.layers\.\d+\.self_attn\.(q|k|v|o)_proj\.", "everything": "."}
given, height, width, recipe = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.manual_seed(1)
config = AutoConfig.for_model(given.pop("model_type"), **given)
model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
model.train()
for name, parameter in model.named_parameters():
    parameter.requires_grad_(re.search(patterns[recipe], name) is not None)
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=5e-6, betas=(0.9, 0.999), weight_decay=0.0, fused=True)
side = config.vision_config.image_size
high, wide = select_best_resolution((height, width), config.image_grid_pinpoints)
pixels = torch.randn(1, 1 + (high // side) * (wide // side), 3, side, side)
sizes = torch.tensor([[height, width]])
# Only the number of visual tokens matters here: features of width 1 take no time.
squares = torch.zeros(pixels.shape[1], (side // config.vision_config.patch_size) ** 2, 1)
packed = model.model.pack_image_features([squares], sizes, torch.zeros(1), config.vision_aspect_ratio)
tokens = len(packed[0][0])
text, answer = torch.randint(0, 1000, (30,)), torch.randint(0, 1000, (8,))
ids = torch.cat([text, torch.full((tokens,), config.image_token_index), answer])[None]
labels = ids.clone()
labels[:, : -len(answer)] = -100
print(json.dumps({"device": f"{torch.get_num_threads()} CPU threads, PyTorch {torch.__version__}"}), flush=True)

for _ in sys.stdin:
    start, cpu = time.perf_counter(), time.process_time()
    # The head at the answer's positions only, as Plumbline computes it.
    out = model(input_ids=ids, pixel_values=pixels, image_sizes=sizes, logits_to_keep=len(answer) + 1).logits
    loss = torch.nn.functional.cross_entropy(out[0, :-1], labels[0, -len(answer) :])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    taken = dict(stepMs=(time.perf_counter() - start) * 1000, cpuMs=(time.process_time() - cpu) * 1000)
    taken |= dict(loss=loss.item(), tokens=ids.shape[1])
    print(json.dumps(taken | dict(peakMb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)), flush=True)
