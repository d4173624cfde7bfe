"""PyTorch's side of bench:train: the twin at the base model's sizes; one line in (recipe, steps), one line out."""

import json
import pathlib
import re
import sys
import time

import torch

root = pathlib.Path(__file__).resolve().parents[2] / "server" / "trainer"
sys.path.insert(0, str(root / "model" / "fixtures"))
from twin import Twin, decays  # noqa: E402

patterns = {
    "full": r"language_model\.|lm_head\.",
    "sa_proj": r"language_model\.layers\.\d+\.self_attn\.",
    "mlp_gate_up": r"language_model\.layers\.\d+\.mlp\.(gate|up)_proj\.",
}
config = json.loads((root / "base" / "config.json").read_text())
batch = int(sys.argv[1])
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)
model = Twin(config).to(device)
torch.set_default_device(device)
images = torch.randn(batch, config["imageSize"], config["imageSize"], 3)
ids = torch.randint(1, config["vocabSize"], (batch, config["maxTextTokens"]))
targets = torch.randint(1, config["vocabSize"], ids.shape)
mask = (torch.arange(config["maxTextTokens"]) < 8).float().expand(ids.shape).clone()


def make(recipe):
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(re.match(patterns[recipe], name) is not None)
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for n, p in named if decays(n, p)], "weight_decay": 0.01},
        {"params": [p for n, p in named if not decays(n, p)], "weight_decay": 0.0},
    ]
    return [p for _, p in named], torch.optim.AdamW([g for g in groups if g["params"]], lr=1e-4, betas=(0.9, 0.99))


def step(parameters, optimizer):
    optimizer.zero_grad(set_to_none=True)
    loss = model.loss(images, ids, targets, mask)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    return loss.item()


made = {}
print(json.dumps({"device": f"PyTorch {torch.__version__}, {device}, {torch.get_num_threads()} threads"}), flush=True)
for line in sys.stdin:
    recipe, steps = line.split()
    if recipe not in made:
        made[recipe] = make(recipe)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(re.match(patterns[recipe], name) is not None)
    step(*made[recipe])
    start, start_cpu = time.perf_counter(), time.process_time()
    for _ in range(int(steps)):
        step(*made[recipe])
    step_ms = (time.perf_counter() - start) * 1000 / int(steps)
    cpu_ms = (time.process_time() - start_cpu) * 1000 / int(steps)
    print(json.dumps({"stepMs": step_ms, "cpuMs": cpu_ms}), flush=True)
