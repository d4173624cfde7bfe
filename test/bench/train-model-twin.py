"""PyTorch's side of bench:train --model: the same folder with transformers; one line in, one line out."""

import json
import re
import resource
import sys
import time

import torch
from transformers import AutoModelForCausalLM

# The recipes as patterns on the names of transformers 5 (docs/models.md).
patterns = {
    "full": r".",
    "sa_proj": r"layers\.\d+\.self_attn\.(q|k|v|o)_proj\.",
    "mlp_gate_up": r"layers\.\d+\.mlp\.(gate|up)_proj\.",
}
folder, batch, answered = sys.argv[1], int(sys.argv[2]), 8
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, betas=(0.9, 0.999), weight_decay=0.0, fused=True)
print(json.dumps({"device": f"{torch.get_num_threads()} CPU threads, PyTorch {torch.__version__}"}), flush=True)


def step(length: int) -> float:
    ids = torch.randint(0, model.config.vocab_size, (batch, length))
    labels = ids.clone()
    labels[:, : length - answered] = -100
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


for line in sys.stdin:
    recipe, steps, lengths = line.split()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(re.search(patterns[recipe], name) is not None)
    each = [int(length) for length in lengths.split(",")]
    start, cpu, loss = time.perf_counter(), time.process_time(), float("nan")
    for i in range(int(steps)):
        loss = step(each[i % len(each)])
    answer = {
        "stepMs": (time.perf_counter() - start) * 1000 / int(steps),
        "cpuMs": (time.process_time() - cpu) * 1000 / int(steps),
        "peakMb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "loss": loss,
    }
    print(json.dumps(answer), flush=True)
