"""Writes model-names.<major version of transformers>.json: the role of every parameter of real model classes.

The expectation comes from the module tree, not from names: the class of the modules above a parameter, their identity
(the decoder, the embeddings) and their index in a ModuleList; recipes from the paper's flags applied to these modules.
Only the last step, the spelling of a group, is a separate rule (`group_of`).
"""

import json
import os
import sys
import tempfile

import peft
import torch
import torch.distributed as dist
import transformers
from peft.tuners.lora import LoraLayer
from peft.utils.other import ModulesToSaveWrapper
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper, apply_activation_checkpointing
from transformers import (
    CLIPVisionConfig, Idefics3Config, Idefics3ForConditionalGeneration, LlamaConfig, LlamaForCausalLM, LlavaConfig,
    LlavaForConditionalGeneration, LlavaNextConfig, LlavaNextForConditionalGeneration, LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration, MistralConfig, Phi3Config, Phi3ForCausalLM, Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration, Qwen2Config, Qwen2ForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM,
    Qwen3MoeConfig, Qwen3MoeForCausalLM, SiglipVisionConfig, SmolVLMConfig, SmolVLMForConditionalGeneration,
)

MAJOR = int(transformers.__version__.split(".")[0])
TEXT = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            vocab_size=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
TOWER = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)


def llava(kind, config, vision, text, **more):
    return kind(config(vision_config=vision, text_config=text, image_token_index=63, **more))


def qwen_vl(depth=2, **text):
    vision = dict(depth=depth, hidden_size=16, intermediate_size=24, num_heads=2, out_hidden_size=16, fullatt_block_indexes=[1])
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6}
    text = {**TEXT, "rope_scaling": rope, **text}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(
        vision_config=vision, **({"text_config": text} if MAJOR >= 5 else text),
        image_token_id=60, video_token_id=61, vision_start_token_id=58, vision_end_token_id=59))


def smol(kind, config, vision_kind):
    return kind(config(vision_config={**TOWER, "model_type": vision_kind}, text_config=LlamaConfig(**TEXT), image_token_id=63,
                       scale_factor=2, pad_token_id=0))


MOE = dict(moe_intermediate_size=8, num_experts=3, num_experts_per_tok=2, decoder_sparse_step=1)
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**TEXT)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**TEXT)),
    "qwen2, tied": lambda: Qwen2ForCausalLM(Qwen2Config(**TEXT, tie_word_embeddings=True)),
    "phi3, fused projections": lambda: Phi3ForCausalLM(Phi3Config(**TEXT)),
    "llava": lambda: llava(LlavaForConditionalGeneration, LlavaConfig, CLIPVisionConfig(**TOWER), LlamaConfig(**TEXT)),
    "llava_next": lambda: llava(LlavaNextForConditionalGeneration, LlavaNextConfig, CLIPVisionConfig(**TOWER), MistralConfig(**TEXT)),
    "llava_onevision": lambda: llava(LlavaOnevisionForConditionalGeneration, LlavaOnevisionConfig, SiglipVisionConfig(**TOWER), Qwen2Config(**TEXT)),
    "qwen2_5_vl": qwen_vl,
    "idefics3": lambda: smol(Idefics3ForConditionalGeneration, Idefics3Config, "idefics3_vision"),
    "smolvlm": lambda: smol(SmolVLMForConditionalGeneration, SmolVLMConfig, "smolvlm_vision"),
    "qwen2_moe": lambda: Qwen2MoeForCausalLM(Qwen2MoeConfig(**TEXT, **MOE, shared_expert_intermediate_size=8)),
    "qwen3_moe": lambda: Qwen3MoeForCausalLM(Qwen3MoeConfig(**TEXT, **MOE, head_dim=8)),
}

VISION = ("CLIPVision", "SiglipVision", "Qwen2_5_VisionTransformer", "Idefics3VisionTransformer", "SmolVLMVisionTransformer")
PROJECTOR = ("MultiModalProjector", "PatchMerger", "Connector")
WRAPPERS = (nn.parallel.DistributedDataParallel, CheckpointWrapper, peft.PeftModel, peft.tuners.tuners_utils.BaseTuner,
            torch._dynamo.eval_frame.OptimizedModule)


def named(module, words):
    return any(word in type(module).__name__ for word in words)


def unwrapped(module):
    if isinstance(module, ModulesToSaveWrapper):
        return module.original_module
    return module.base_layer if isinstance(module, LoraLayer) else module


class Tree:
    """The roles of a model's parameters, by their modules."""

    def __init__(self, root, inner):
        self.root = root
        self.inputs, self.outputs = (unwrapped(m) for m in (inner.get_input_embeddings(), inner.get_output_embeddings()))

    def chain(self, name):
        """The modules from the root down to the parameter's, without wrappers, as (attribute, module)."""
        *path, leaf = name.split(".")
        module, chain = self.root, []
        while path:
            attribute = path.pop(0)
            module = getattr(module, attribute)
            if isinstance(module, WRAPPERS):
                continue
            # PEFT's wrapper counts as the module it wraps.
            if isinstance(module, ModulesToSaveWrapper):
                kept = module.original_module
                if path.pop(0) == "modules_to_save":
                    module = module.modules_to_save[path.pop(0)]
                else:
                    module = kept
                chain.append((attribute, kept))
                continue
            chain.append((attribute, module))
            if isinstance(module, LoraLayer):
                return chain, None
        return chain, leaf

    def role(self, name):
        chain, leaf = self.chain(name)
        modules = [unwrapped(module) for _, module in chain]
        place = lambda test: next((i for i, module in enumerate(modules) if test(module)), None)
        role = dict(part="other", layer=None, block=None, projection=None, expert=None)
        tower, bridge = place(lambda m: named(m, VISION)), place(lambda m: named(m, PROJECTOR))
        is_it = lambda wanted: wanted is not None and any(m is wanted for m in modules)
        if bridge is not None:
            return {**role, "part": "projector"}
        if leaf == "image_newline":
            return {**role, "part": "embedding", "projection": "image_newline"}
        if tower is None and is_it(self.inputs):
            return {**role, "part": "embedding"}
        if is_it(self.outputs):
            return {**role, "part": "head"}
        role["part"] = "language" if tower is None else "vision"
        lists = [i for i, module in enumerate(modules) if isinstance(module, nn.ModuleList) and (tower is None or i > tower)]
        if not lists:
            below = chain[(tower or 0) + 1:] if tower is not None else chain
            outer = next((m for _, m in below if named(m, ("Embed",))), None)
            if outer is not None:
                return {**role, "block": "embeddings"}
            if any(named(m, ("PoolingHead",)) for m in modules):
                return {**role, "block": "head"}
            assert named(modules[-1], ("Norm",)), (name, [type(m) for m in modules])
            return {**role, "block": "norms"}
        first = lists[0]
        role["layer"] = self.index(modules, first)
        block = first + 2
        assert named(modules[first + 1], ("Layer", "Block")), name
        if named(modules[block], ("Norm",)):
            return {**role, "block": "norms"}
        role["block"] = "self_attn" if named(modules[block], ("Attention",)) else "mlp"
        assert role["block"] == "self_attn" or named(modules[block], ("MLP", "Mlp", "Moe")), name
        if len(lists) > 1:
            role["expert"] = self.index(modules, lists[1])
        # A linear layer is identified by its attribute; a tensor of all experts by its own name.
        is_stack = leaf is not None and named(modules[-1], ("Experts",))
        role["projection"] = leaf if is_stack else chain[-1][0]
        if named(modules[block], ("Moe",)) and len(chain) == block + 2 and chain[-1][0] == "gate":
            role["projection"] = "router"
        return role

    @staticmethod
    def index(modules, at):
        return next(i for i, each in enumerate(modules[at]) if modules[at + 1] is each or modules[at + 1] in list(each.modules()))

    def is_shared(self, name):
        return any(attribute == "shared_expert" for attribute, _ in self.chain(name)[0])


def group_of(role, shared):
    part, layer, block, projection, expert = role["part"], role["layer"], role["block"], role["projection"], role["expert"]
    if part == "projector":
        return "multi_modal_projector"
    if part == "embedding":
        return "language_model." + (projection or "embed_tokens")
    if part == "head":
        return "language_model.lm_head"
    words = ["vision_tower" if part == "vision" else "language_model"]
    if layer is None:
        return ".".join(words + ["norm" if part == "language" else block])
    words += ["layers", str(layer), block]
    if expert is not None:
        words += ["experts", str(expert)]
    elif shared:
        words += ["shared_expert"]
    return ".".join(words + ([projection] if projection else []))


def recipes(roles):
    """The paper's flags (paper-protocol.md, "Which parameters") by module."""
    language = lambda r: r["part"] not in ("vision", "projector")
    decoder = lambda r, block: r["part"] == "language" and r["layer"] is not None and r["block"] == block
    projection = lambda block, words: lambda r: decoder(r, block) and r["projection"] in words
    qkv = ("q_proj", "k_proj", "v_proj", "qkv_proj")
    tests = {
        "full": language,
        "everything": lambda r: True,
        "sa_proj": projection("self_attn", (*qkv, "o_proj")),
        "sa_qkv": projection("self_attn", qkv),
        "mlp": lambda r: decoder(r, "mlp"),
        "mlp_gate_up": projection("mlp", ("gate_proj", "up_proj", "gate_up_proj")),
        "mlp_down": projection("mlp", ("down_proj",)),
        "projector": lambda r: r["part"] == "projector",
        "vision": lambda r: r["part"] == "vision",
    }
    return {name: [i for i, r in enumerate(roles) if test(r)] for name, test in tests.items()}


def case(name, root, inner, respell=lambda name: name):
    tree = Tree(root, inner)
    names = [name for name, _ in root.named_parameters()]
    roles = [tree.role(name) for name in names]
    rows = [[respell(name), group_of(role, tree.is_shared(name)), *role.values()] for name, role in zip(names, roles)]
    assert len({row[0] for row in rows}) == len(rows), name
    return {"model": name, "parameters": rows, "recipes": {k: v for k, v in recipes(roles).items() if v}}


def original_llava(name):
    """The spelling of lmms-lab and of the paper, the reverse of transformers' conversion scripts."""
    name = name.removeprefix("model.")
    name = name.removeprefix("language_model.")
    for new, old in (("multi_modal_projector.linear_1", "mm_projector.0"), ("multi_modal_projector.linear_2", "mm_projector.2")):
        name = name.replace(new, old)
    if name.startswith("vision_tower."):
        inside = name.removeprefix("vision_tower.").removeprefix("vision_model.")
        name = f"vision_tower.vision_tower.vision_model.{inside}"
    return name if name.startswith("lm_head") else f"model.{name}"


def llava_disk(name):
    """The keys of the published -hf files, as transformers 4 writes them."""
    if name.startswith("lm_head"):
        return f"language_model.{name}"
    name = name.removeprefix("model.")
    if name.startswith("vision_tower.") and not name.startswith("vision_tower.vision_model."):
        name = name.replace("vision_tower.", "vision_tower.vision_model.")
    return name.replace("language_model.", "language_model.model.") if name.startswith("language_model.") else name


def qwen_disk(name):
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def lora(model, **more):
    # Includes the vision tower's: a bare pattern matches them.
    targets = r".*\.(q_proj|down_proj|gate_up_proj|qkv_proj)"
    return peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=targets, **more))


def checkpointed(model):
    apply_activation_checkpointing(model, check_fn=lambda m: named(m, ("DecoderLayer",)))
    return model


def ddp(model):
    return nn.parallel.DistributedDataParallel(model)


def main(folder):
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"file://{tempfile.mktemp()}", rank=0, world_size=1)
    cases = []
    for name, make in MODELS.items():
        model = make()
        cases.append(case(name, model, model))
        if name.startswith("llava"):
            cases.append(case(f"{name}, original", model, model, original_llava))
            cases.append(case(f"{name}, disk", model, model, llava_disk))
            for respelled, real in ((llava_disk, disk_names(model)),):
                if real and MAJOR == 4:
                    wrong = {respelled(n) for n, _ in model.named_parameters()} ^ real
                    assert not wrong, (name, sorted(wrong)[:4])
        if name == "qwen2_5_vl":
            cases.append(case(f"{name}, disk", model, model, qwen_disk))
            if MAJOR == 4:
                assert {qwen_disk(n) for n, _ in model.named_parameters()} == disk_names(model)
    wrapped = {
        "qwen2_5_vl, LoRA": ("qwen2_5_vl", lambda m: lora(m)),
        "llava, LoRA with modules to save": ("llava", lambda m: lora(m, modules_to_save=["lm_head", "multi_modal_projector"])),
        "llama, LoRA with DoRA, in DDP": ("llama", lambda m: ddp(lora(m, use_dora=True))),
        "llava_onevision, DDP": ("llava_onevision", ddp),
        "smolvlm, compiled": ("smolvlm", torch.compile),
        "qwen2_5_vl, compiled in DDP": ("qwen2_5_vl", lambda m: ddp(torch.compile(m))),
        "llava_next, LoRA in DDP, compiled": ("llava_next", lambda m: torch.compile(ddp(lora(m)))),
        "qwen2, layers checkpointed, LoRA": ("qwen2", lambda m: lora(checkpointed(m))),
        "idefics3, LoRA": ("idefics3", lora),
        "llama, LoRA of a compiled model": ("llama", lambda m: lora(torch.compile(m))),
    }
    for name, (family, wrap) in wrapped.items():
        model = MODELS[family]()
        cases.append(case(name, wrap(model), model))
    sizes = real_sizes()
    out = {"transformers": transformers.__version__, "peft": peft.__version__, "cases": cases, "realSizes": sizes}
    path = os.path.join(folder, f"model-names.{MAJOR}.json")
    with open(path, "w") as file:
        file.write(rows_of(out))
    print(path, len(cases), "cases,", sum(len(c["parameters"]) for c in cases), "parameters", sizes)
    dist.destroy_process_group()


def disk_names(model):
    from safetensors import safe_open
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with safe_open(os.path.join(folder, "model.safetensors"), "pt") as file:
            return set(file.keys())


def real_sizes():
    """The number of tensors that each recipe selects in models of published sizes, without weights."""
    seven = dict(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, vocab_size=32064)
    with torch.device("meta"):
        models = {
            "LLaVA-1.5 7B": llava(LlavaForConditionalGeneration, LlavaConfig,
                                  CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=336, patch_size=14),
                                  LlamaConfig(**seven)),
            "Qwen2.5-VL 7B": qwen_vl(depth=32, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28,
                                     num_attention_heads=28, num_key_value_heads=4, vocab_size=152064),
        }
    counts = {}
    for name, model in models.items():
        tree = Tree(model, model)
        roles = [tree.role(parameter) for parameter, _ in model.named_parameters()]
        counts[name] = {"tensors": len(roles), **{k: len(v) for k, v in recipes(roles).items()}}
    return counts


def rows_of(out):
    """JSON with one parameter per line."""
    text = json.dumps(out, separators=(",", ":"))
    return text.replace('],["', '],\n["').replace('{"model"', '\n{"model"') + "\n"


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
