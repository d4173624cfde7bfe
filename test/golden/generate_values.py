"""Writes values.json: inputs and correct values of every measure, in float64 by numpy, scipy and torch.

README.md beside this file defines the measures. Non-finite values are words, as on the wire.
"""

import json
import math
import os
import sys

import numpy as np
import torch
from scipy import stats
from scipy.special import log_softmax, rel_entr

torch.set_default_dtype(torch.float64)


def wire(value):
    if isinstance(value, (list, tuple, np.ndarray)):
        return [wire(each) for each in value]
    if isinstance(value, dict):
        return {key: wire(each) for key, each in value.items()}
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(float(value), "NaN")
    return int(value) if isinstance(value, (np.integer,)) else value


def by_rule(rows, size, seed, scale):
    """Log-probabilities of the rule in README.md."""
    index = np.arange(rows * size, dtype=np.uint64)
    word = (index * np.uint64(2654435761) + np.uint64(seed) * np.uint64(40503)) % np.uint64(2**32)
    word = word ^ (word >> np.uint64(15))
    word = (word * np.uint64(2246822519)) % np.uint64(2**32)
    word = word ^ (word >> np.uint64(13))
    logits = scale * (word.astype(np.float64) / 2**32 - 0.5)
    return log_softmax(logits.reshape(rows, size), axis=1)


def shift(base, now):
    """Distribution shift, base and now [positions, vocabulary] in natural log-probabilities."""
    base, now = np.asarray(base, float), np.asarray(now, float)
    with np.errstate(all="ignore"):
        p, q = np.exp(base), np.exp(now)
        middle = np.logaddexp(base, now) - math.log(2)
        term = lambda mass, log, other: np.where(mass == 0, 0.0, mass * (log - other))
        js = 0.5 * term(p, base, middle).sum(1) + 0.5 * term(q, now, middle).sum(1)
        kl = term(p, base, now).sum(1)
        entropy = -np.where(q == 0, 0.0, q * now).sum(1)
        hasnan = np.isnan(base).any(1) | np.isnan(now).any(1)
        agree = np.where(hasnan, np.nan, 100.0 * (base.argmax(1) == now.argmax(1)))
        # The same by scipy and torch, if they are defined.
        if np.isfinite(base).all() and np.isfinite(now).all() and p.min() > 1e-300 and q.min() > 1e-300:
            assert np.allclose(kl, rel_entr(p, q).sum(1), atol=1e-9)
            assert np.allclose(entropy, stats.entropy(q, axis=1), atol=1e-9)
            torch_kl = torch.nn.functional.kl_div(torch.tensor(now), torch.tensor(base), reduction="none", log_target=True)
            assert np.allclose(kl, torch_kl.sum(1).numpy(), atol=1e-9)
    least = lambda values: np.where(values < 0, 0.0, values).mean()
    return {"kl": least(kl), "js": least(js), "entropy": entropy.mean(), "top1Agreement": agree.mean()}


def logs(*rows):
    with np.errstate(divide="ignore"):
        return np.log(np.array(rows, dtype=float))


def distributions():
    tiny = 5e-324
    written = {
        "halves and quarters": (logs([0.5, 0.5]), logs([0.25, 0.75])),
        "zeros in the base": (logs([1, 0, 0]), logs([0.5, 0.25, 0.25])),
        "zeros in both": (logs([0.5, 0.5, 0]), logs([0.25, 0.75, 0])),
        "zero where the base has mass": (logs([0.5, 0.5]), logs([1, 0])),
        "one-hot, the same": (logs([0, 1, 0]), logs([0, 1, 0])),
        "one-hot, disjoint": (logs([1, 0]), logs([0, 1])),
        "all equal": (logs([0.25] * 4), logs([0.25] * 4)),
        "all equal against one-hot": (logs([0.25] * 4), logs([0, 0, 1, 0])),
        "the least probability there is": (logs([1, tiny]), logs([1, 0])),
        "tiny probabilities": (logs([1 - 1e-12, 1e-12]), logs([1 - 1e-300, 1e-300])),
        "NaN in now": (logs([0.5, 0.5]), np.array([[np.nan, np.nan]])),
        "NaN in the base": (np.array([[np.nan, np.nan]]), logs([0.5, 0.5])),
        "NaN in the base where now has no mass": (np.array([[np.nan, 0.0]]), logs([0, 1])),
        "NaN in one of two positions": (logs([0.5, 0.5], [0.5, 0.5]), np.vstack([logs([0.5, 0.5]), [[np.nan, np.nan]]])),
        "several positions": (logs([0.9, 0.1], [0.2, 0.8], [0.5, 0.5]), logs([0.6, 0.4], [0.7, 0.3], [0.4, 0.6])),
    }
    cases = [{"name": name, "base": base.tolist(), "now": now.tolist(), **shift(base, now)} for name, (base, now) in written.items()]
    for name, rows, size, base, now in (
        ("by the rule, 1000 tokens", 8, 1000, (1, 8.0), (2, 12.0)),
        ("by the rule, 152064 tokens", 2, 152064, (3, 24.0), (4, 30.0)),
        ("by the rule, the same", 2, 152064, (5, 40.0), (5, 40.0)),
    ):
        rule = {"positions": rows, "vocabulary": size, "base": {"seed": base[0], "scale": base[1]}, "now": {"seed": now[0], "scale": now[1]}}
        cases.append({"name": name, "rule": rule, **shift(by_rule(rows, size, *base), by_rule(rows, size, *now))})
    return cases


def number_bias():
    """Items of positions [tokens, vocabulary]; both biases from the same distributions."""
    def of(items, ids):
        masses = [np.exp(item)[:, ids].sum(1) for item in items]
        largest = [np.exp(item)[:, ids].max(1) for item in items]
        return {
            "givenTheAnswer": np.concatenate(masses).mean(),
            "asWritten": {
                "mean": np.mean([mass.mean() for mass in masses]),
                "meanOfLargest": np.mean([each.mean() for each in largest]),
                "meanOfMost": np.mean([mass.max() for mass in masses]),
            },
        }
    cases = []
    some = [logs([0.3, 0.1, 0.6], [0.05, 0.05, 0.9]), logs([0, 0, 1]), logs([1, 0, 0], [0.5, 0.5, 0], [0.2, 0.2, 0.6])]
    cases.append({"name": "items of different length", "items": [i.tolist() for i in some], "numberIds": [0, 1], **of(some, [0, 1])})
    none = [logs([0.5, 0.5])]
    cases.append({"name": "one token, one item", "items": [i.tolist() for i in none], "numberIds": [1], **of(none, [1])})
    ids = list(range(15, 25)) + [8, 9906, 152000]
    rule = [{"positions": n, "vocabulary": 152064, "seed": seed, "scale": 30.0} for n, seed in ((1, 11), (3, 12))]
    items = [by_rule(r["positions"], r["vocabulary"], r["seed"], r["scale"]) for r in rule]
    cases.append({"name": "by the rule, 152064 tokens", "rule": rule, "numberIds": ids, **of(items, ids)})
    return cases


# Labelled by hand: whether it is a number to us and to the paper.
BOTH, OURS, PAPER, NEITHER = "both", "ours", "paper", "neither"
VOCABULARIES = {
    "byte-level BPE (Qwen, Llama 3)": [
        ("!", NEITHER), ("7", BOTH), ("42", BOTH), ("Ġ7", BOTH), ("Ġseven", BOTH), ("ĠSeven", BOTH), ("ĠSEVEN", BOTH),
        ("seventh", OURS), ("Ġfirst", OURS), ("Ġthousand", BOTH), ("Ġtrillion", OURS), ("Ġbillion", BOTH), ("Ġthirteen", BOTH),
        ("Ġninety", BOTH), ("Ġeleventh", OURS), ("st", NEITHER), ("1st", BOTH), ("Ġ22nd", BOTH), ("3rd", BOTH), ("Ġ100", BOTH),
        ("000", BOTH), ("Ġ", NEITHER), (".5", OURS), ("Ġone", BOTH), ("Ġones", NEITHER), ("Ġnone", NEITHER), ("Ġoften", NEITHER),
        ("Ġzero", BOTH), ("Ġtwenty", BOTH), ("²", NEITHER), ("<|im_end|>", NEITHER), ("Ġten", BOTH), ("ĠTen", BOTH), ("Ġtens", NEITHER),
        ("twelve", BOTH), ("Ġforty", BOTH), ("Ġfourty", NEITHER), ("Ġdozen", NEITHER), ("Ġhalf", NEITHER), ("Ġseconds", NEITHER), ("Ġsecond", OURS),
    ],
    "SentencePiece (Llama 2, Vicuna)": [
        ("<unk>", NEITHER), ("<0x37>", NEITHER), ("▁7", BOTH), ("7", BOTH), ("▁", NEITHER), ("▁▁", NEITHER), ("▁▁7", BOTH), ("▁three", BOTH),
        ("▁Third", OURS), ("▁hundred", BOTH), ("▁million", BOTH), ("▁millionth", OURS), ("one", BOTH), ("▁money", NEITHER), ("▁phone", NEITHER), ("٣", NEITHER),
    ],
    "words": [
        ("seven", BOTH), ("twenty-one", OURS), ("twenty-first", OURS), ("3.5", BOTH), ("1,000", BOTH), ("1,000,000", OURS), ("12,345.6", OURS),
        ("1,00", PAPER), ("1.2.3", NEITHER), (",", NEITHER), (".", NEITHER), ("x7", NEITHER), ("7x", NEITHER), ("5,", NEITHER), ("5.", NEITHER), (",5", NEITHER),
        ("1.5th", OURS), ("4th", BOTH), ("1,000th", OURS), ("sixty", BOTH), ("", NEITHER), ("red", NEITHER), ("0", BOTH), ("007", BOTH), ("2.50", BOTH), (" 8", BOTH), ("-3", NEITHER),
    ],
}


def number_tokens():
    return [{
        "vocabulary": name,
        "tokens": [token for token, _ in entries],
        "ours": [i for i, (_, whose) in enumerate(entries) if whose in (BOTH, OURS)],
        "paper": [i for i, (_, whose) in enumerate(entries) if whose in (BOTH, PAPER)],
    } for name, entries in VOCABULARIES.items()]


def contribution():
    """Residual streams [2 L + 1, positions, width] of base and tuned model, their final norm and head."""
    generator = torch.Generator().manual_seed(5)
    draw = lambda *shape: torch.randn(*shape, generator=generator).round(decimals=3)
    cases = []
    for name, blocks, positions, width, vocabulary, moved in (
        ("moved in every block", 4, 3, 6, 11, 0.3), ("one block, one position", 1, 1, 4, 7, 2.0), ("nothing moved", 2, 2, 4, 5, 0.0),
    ):
        base, eps = draw(blocks + 1, positions, width), 1e-6
        now = (base + moved * draw(blocks + 1, positions, width)).round(decimals=4)
        weights = [(draw(width), draw(vocabulary, width))]
        weights.append(weights[0] if moved == 0 else (draw(width), (weights[0][1] + 0.1 * draw(vocabulary, width)).round(decimals=4)))
        ids = [1, 3]
        norm = lambda x, w: torch.nn.functional.rms_norm(x, (width,), w, eps)
        effects = []
        for stream, (gain, head) in ((base, weights[0]), (now, weights[1])):
            seen = norm(stream, gain) @ head.T
            effects.append(seen[1:] - seen[:-1])
        difference = effects[1] - effects[0]
        push = difference[:, :, ids].mean(2).mean(1) - difference.mean((1, 2))
        # The paper's: a block's update, through the head only.
        added = [(stream[1:] - stream[:-1]) @ head.T for stream, (_, head) in ((base, weights[0]), (now, weights[1]))]
        cases.append({
            "name": name, "epsilon": eps, "numberIds": ids,
            **{side: {"residuals": stream.tolist(), "norm": gain.tolist(), "head": head.tolist()}
               for side, stream, (gain, head) in (("base", base, weights[0]), ("now", now, weights[1]))},
            "change": difference.square().mean((1, 2)).sqrt().tolist(),
            "numberPush": push.tolist(),
            "paper": (added[1] - added[0]).norm(dim=2).mean(1).tolist(),
        })
    return cases


def weight_drift():
    cases = []
    for name, base, now in (
        ("moved by half", [[3, 4]], [[4.5, 6]]), ("frozen", [[1, -2, 3]], [[1, -2, 3]]), ("two tensors of one group", [[3, 0], [0, 4]], [[3, 1], [2, 4]]),
        ("zeros that stay", [[0, 0]], [[0, 0]]), ("zeros that move", [[0, 0]], [[0, 1]]), ("NaN", [[1, 2]], [[1, math.nan]]), ("infinite", [[1, 2]], [[1, math.inf]]),
        ("tiny", [[1e-20, 0]], [[2e-20, 0]]), ("large and small", [[1e4, 1e-4]], [[1e4, 2e-4]]),
    ):
        w0, w = (torch.tensor([float(x) for t in ts for x in t]) for ts in (base, now))
        moved, size = (w - w0).norm(), w0.norm()
        # Nothing of nothing has moved by nothing.
        value = 0.0 if moved == 0 else (moved / size).item()
        cases.append({"name": name, "base": [[float(x) for x in t] for t in base], "now": [[float(x) for x in t] for t in now], "drift": value})
    return cases


def recovery():
    nan, inf = math.nan, math.inf
    cases = []
    for name, values, base, worse, noise in (
        ("half of the way back", [90, 70, 50, 70], 90, "lower", 5), ("all the way and further", [50, 95], 90, "lower", 5), ("within the noise", [88, 86], 90, "lower", 5),
        ("at the noise exactly", [85], 90, "lower", 5), ("better than the base", [95, 99], 90, "lower", 5), ("bias", [0.001, 0.4, 0.1], 0.001, "higher", 0.002),
        ("NaN and infinities are passed over", [nan, 0.4, inf, nan, 0.2, -inf], 0.0, "higher", 0.01), ("nothing finite", [nan, inf], 0.0, "higher", 0.01), ("no value", [], 1.0, "lower", 0.1),
        ("at the worst now", [80, 60, 40], 90, "lower", 0), ("equal worst ones", [40, 60, 40, 60], 80, "lower", 0), ("all equal to the base", [1, 1, 1], 1.0, "higher", 0),
    ):
        finite = [(v, i) for i, v in enumerate(values) if math.isfinite(v)]
        found = None
        if finite:
            column = np.array([v for v, _ in finite])
            at = int(column.argmin() if worse == "lower" else column.argmax())
            worst, now = float(column[at]), float(column[-1])
            if (base - worst if worse == "lower" else worst - base) > noise:
                found = {"percent": 100 * (now - worst) / (base - worst), "worst": worst, "worstIndex": finite[at][1], "now": now}
        cases.append({"name": name, "values": [float(v) for v in values], "base": float(base), "worse": worse, "noiseFloor": float(noise), "recovery": found})
    return cases


def main(folder):
    out = {
        "distributions": distributions(), "numberBias": number_bias(), "numberTokens": number_tokens(),
        "contribution": contribution(), "weightDrift": weight_drift(), "recovery": recovery(),
    }
    path = os.path.join(folder, "values.json")
    with open(path, "w") as file:
        json.dump(wire(out), file, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        file.write("\n")
    print(path, {key: len(value) for key, value in out.items()}, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
