"""Tiny random models of all families, for exported-models.test.ts.

make FOLDER: writes FOLDER/FAMILY/base as transformers does, and FOLDER/FAMILY/shapes.json, the parameters of the module tree.
check FOLDER: loads FOLDER/FAMILY/out, and prints for each family what differs from base.
"""

import json
import pathlib
import sys

import torch
from transformers import (
    AutoModelForCausalLM, AutoModelForImageTextToText, CLIPVisionConfig, Idefics3Config, LlamaConfig, LlavaConfig,
    LlavaNextConfig, LlavaOnevisionConfig, Qwen2_5_VLConfig, Qwen2Config, SiglipVisionConfig, SmolVLMConfig,
)

TEXT = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            vocab_size=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
TOWER = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)
LLAMA = LlamaConfig(**TEXT, tie_word_embeddings=False)
QWEN = dict(vision_config=dict(depth=2, hidden_size=16, intermediate_size=24, num_heads=2, out_hidden_size=16),
            text_config={**TEXT, "rope_scaling": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6}},
            image_token_id=60, video_token_id=61, vision_start_token_id=58, vision_end_token_id=59)


def llava(kind, vision, text):
    return kind(vision_config=vision, text_config=text, image_token_index=63)


def smol(kind, vision):
    return kind(vision_config={**TOWER, "model_type": vision}, text_config=LLAMA, image_token_id=63, scale_factor=2, pad_token_id=0)


CONFIGS = {
    "llama": lambda: LLAMA,
    "qwen2": lambda: Qwen2Config(**TEXT, tie_word_embeddings=True),
    "llava": lambda: llava(LlavaConfig, CLIPVisionConfig(**TOWER), LLAMA),
    "llava_next": lambda: llava(LlavaNextConfig, CLIPVisionConfig(**TOWER), LLAMA),
    "llava_onevision": lambda: llava(LlavaOnevisionConfig, SiglipVisionConfig(**TOWER, vision_use_head=False), Qwen2Config(**TEXT)),
    "qwen2_5_vl": lambda: Qwen2_5_VLConfig(**QWEN),
    "smolvlm": lambda: smol(SmolVLMConfig, "smolvlm_vision"),
    "idefics3": lambda: smol(Idefics3Config, "idefics3_vision"),
}


def kind_of(family):
    return AutoModelForCausalLM if family in ("llama", "qwen2") else AutoModelForImageTextToText


def make(folder):
    torch.manual_seed(0)
    for family, config in CONFIGS.items():
        model = kind_of(family).from_config(config())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
        # The shards of one family show that they are read.
        model.save_pretrained(folder / family / "base", max_shard_size="8KB" if family == "llava" else "5GB")
        shapes = {name: list(parameter.shape) for name, parameter in model.named_parameters()}
        tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
        (folder / family / "shapes.json").write_text(json.dumps({"shapes": shapes, "tied": tied}))


def check(folder):
    differences = {}
    for family in CONFIGS:
        load = kind_of(family).from_pretrained
        base = load(folder / family / "base")
        out, told = load(folder / family / "out", output_loading_info=True)
        wrong = [f"{kind}: {names}" for kind, names in told.items() if names]
        exported = dict(out.named_parameters())
        for name, parameter in base.named_parameters():
            if not torch.equal(parameter.to(exported[name].dtype), exported[name]):
                wrong.append(f"{name} differs")
        differences[family] = {"dtype": str(out.dtype), "wrong": wrong, "parameters": len(exported)}
    print(json.dumps(differences))


{"make": make, "check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
