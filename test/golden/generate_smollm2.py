"""Writes smollm2.json: what transformers computes with the real SmolLM2-135M-Instruct for 20 prompts.

Usage: npm run plumbline -- model fetch smollm2-135m, then python3 generate_smollm2.py FOLDER
FOLDER is the one that the first command prints. For each prompt: its ids, logits behind its last token (the 16 largest,
and those of every 1024th id), the logarithm of the sum of their exponentials, and the tokens that it writes greedily.
"""

import json
import pathlib
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(1)
folder = sys.argv[1]
new_tokens = 16
questions = [
    "What is the capital of France?",
    "How many words are in this list: red, blue, green, yellow?",
    "Spell the word cat.",
    "Who wrote Hamlet?",
    "What is 2 plus 3?",
    "Name a fruit.",
    "What colour is the sky on a clear day?",
    "Say hello in Spanish.",
    "List three animals that live in the sea.",
    "What is the largest planet?",
    "How many legs does a spider have?",
    "Write one sentence about the sea.",
    "What is ice made of?",
    "Write a short poem about winter, with two lines.",
    "Name a prime number above ten.",
    "Which day follows Monday?",
    "Explain gravity in one sentence.",
    "Give me a synonym for happy.",
    "Who painted the Mona Lisa?",
    "What time is it when the hour hand is at three and the minute hand is at twelve?",
]

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
prompts = []
closest = float("inf")
for question in questions:
    turn = [{"role": "user", "content": question}]
    encoded = tokenizer.apply_chat_template(
        turn, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ids = encoded["input_ids"]
    with torch.no_grad():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        logits = out.logits[0][0]
    for step in out.logits:
        best, second = step[0].topk(2).values
        closest = min(closest, (best - second).item())
    at = sorted({*logits.topk(16).indices.tolist(), *range(0, len(logits), 1024)})
    prompts.append(dict(
        question=question, ids=ids[0].tolist(), at=at, logits=[round(logits[i].item(), 5) for i in at],
        logSum=round(logits.logsumexp(0).item(), 5), written=out.sequences[0, ids.shape[1]:].tolist(),
    ))  # fmt: skip
    print(question, repr(tokenizer.decode(prompts[-1]["written"])))

print("smallest distance between the best token and the next:", closest)
assert closest > 1e-3, "a near tie decides"
facts = dict(
    made_with=dict(torch=torch.__version__, transformers=transformers.__version__),
    end=model.generation_config.eos_token_id, newTokens=new_tokens, prompts=prompts,
)  # fmt: skip
(pathlib.Path(__file__).parent / "smollm2.json").write_text(json.dumps(facts) + "\n")
