"""A trainer for a LLaVA model in PyTorch, written from PROTOCOL.md alone; the model is tiny and random."""
import argparse, os, queue, re, secrets, socket, sys, threading, time
import socketio, torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

SPACE = "/trainer"
LAYER = re.compile(r"(?:(vision_tower)\.(?:vision_model\.)?(?:encoder\.)?|language_model\.)layers\.(\d+)\.(\w+)(?:\.(\w+))?")
BESIDE = [(r"multi_modal_projector\.", "multi_modal_projector", {"part": "projector"}),
          (r"vision_tower\..*(norm|layrnorm)", "vision_tower.norms", {"part": "vision", "block": "norms"}),
          (r"vision_tower\.", "vision_tower.embeddings", {"part": "vision", "block": "embeddings"}),
          (r"language_model\.embed_tokens\.", "language_model.embed_tokens", {"part": "embedding"}),
          (r"language_model\.norm\.", "language_model.norm", {"part": "language", "block": "norms"}),
          (r"lm_head\.", "language_model.lm_head", {"part": "head"})]

def group_of(name):
    """The group of a parameter and its role, by the table of PROTOCOL.md for the names of LLaVA."""
    plain = name.removeprefix("model.")
    if layer := LAYER.match(plain):
        tower, number, block, projection = layer.groups()
        part, root = ("vision", "vision_tower") if tower else ("language", "language_model")
        role = {"part": part, "layer": int(number)}
        if "norm" in block: return {"name": f"{root}.layers.{number}.norms", **role, "block": "norms"}
        return {"name": f"{root}.layers.{number}.{block}.{projection}", **role, "block": block, "projection": projection}
    return next(({"name": group, **role} for pattern, group, role in BESIDE if re.match(pattern, plain)),
                {"name": plain.removesuffix(".weight"), "part": "other"})

def decoder(block, *projections):
    return lambda g: g["part"] == "language" and "layer" in g and g["block"] == block and (not projections or g["projection"] in projections)
RECIPES = {"full": lambda g: g["part"] in ("language", "embedding", "head"), "everything": lambda g: True,
           "sa_proj": decoder("self_attn", "q_proj", "k_proj", "v_proj", "o_proj"),
           "sa_qkv": decoder("self_attn", "q_proj", "k_proj", "v_proj"), "mlp": decoder("mlp"),
           "mlp_gate_up": decoder("mlp", "gate_proj", "up_proj"), "mlp_down": decoder("mlp", "down_proj"),
           "projector": lambda g: g["part"] == "projector", "vision": lambda g: g["part"] == "vision", "none": lambda g: False}

class Hub:
    """The link to the hub: keeps events until they are acknowledged, and reconnects after every break."""
    def __init__(self, url, token, run):
        self.run, self.spool, self.commands, self.seen, self.seq, self.stored = run, [], queue.Queue(), set(), 0, 0
        self.attached, self.lock, self.lost, self.sio = threading.Event(), threading.Lock(), None, socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        self.sio.on("connect", lambda: self.sio.start_background_task(self.attach), namespace=SPACE)
        self.sio.on("disconnect", lambda *_: self.attached.clear(), namespace=SPACE)
        self.sio.on("command", self.command, namespace=SPACE)
        self.sio.connect(url, namespaces=[SPACE], auth={"token": token, "protocol": 2}, transports=["websocket"],
                         headers={"Authorization": f"Bearer {token}"})
    def command(self, command):
        if command["commandId"] not in self.seen:
            self.seen.add(command["commandId"])
            self.commands.put(command)
        return {"ok": True}
    def ask(self, message, body):
        """The hub's answer; None if the connection broke, or after 30 s."""
        answers = queue.Queue()
        try: self.sio.emit(message, body, namespace=SPACE, callback=answers.put)
        except socketio.exceptions.SocketIOError: return None
        for _ in range(300):
            try: return self.heard(answers.get(timeout=0.1))
            except queue.Empty:
                if SPACE not in self.sio.namespaces: return None
    def heard(self, answer):
        with self.lock:
            self.stored = max(self.stored, answer.get("lastSeq", 0))
            self.spool = [event for event in self.spool if event["seq"] > self.stored]
        for problem in answer.get("problems", []): print(problem, file=sys.stderr)
        if not answer["ok"]:
            if not answer["error"]["retry"] and answer["error"]["code"] != "not_found": self.lost = answer["error"]["message"]
            time.sleep(0.3)
        return answer
    def attach(self):
        while not self.lost and SPACE in self.sio.namespaces:
            answer = self.ask("attach", {**self.run, "acknowledgedSeq": self.stored})
            if answer and answer["ok"]: return self.attached.set()
    def emit(self, kind, step, **fields):
        self.seq += 1
        with self.lock:
            self.spool.append({"seq": self.seq, "type": kind, "step": step, "wallTimeMs": int(time.time() * 1000), **fields})
    def flush(self):
        while self.spool:
            if self.lost: sys.exit(f"The hub refuses this trainer: {self.lost}")
            if self.attached.wait(0.5) and (events := self.spool[:1000]): self.ask("events", {"events": events})

options = argparse.ArgumentParser()
options.add_argument("--steps", type=int, default=100_000)
options.add_argument("--nan-at", type=int)
options = options.parse_args()
torch.manual_seed(1)
small = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
model = LlavaForConditionalGeneration(LlavaConfig(vision_config=CLIPVisionConfig(**small, image_size=16, patch_size=8),
                                                  text_config=LlamaConfig(**small, vocab_size=64), image_token_index=63))
tensors = dict(model.named_parameters())
groups = {group["name"]: group for group in map(group_of, tensors)}
members = {name: [g["name"] for g in groups.values() if hits(g)] for name, hits in RECIPES.items()}
hub = Hub(os.environ["PLUMBLINE_HUB"], os.environ["PLUMBLINE_TOKEN"], {
    "runId": f"torch-{secrets.token_hex(4)}", "parent": None, "secret": secrets.token_urlsafe(24),
    "commands": ["pause", "resume", "set_trainable", "set_learning_rate", "stop"],
    "run": {"name": "Tiny LLaVA in PyTorch", "settings": {"lr": 1e-3}, "totalSteps": options.steps}})
step, state = 0, {"paused": False, "stopped": False, "learning rate": 1e-3}

def select(selection):
    """Freezes all but a selection. Returns the names that train."""
    patterns = [re.escape(one.strip()).replace(r"\*", ".*") for one in selection.get("pattern", "").split(",")]
    wanted = members.get(selection.get("recipe"), selection.get("groups", []))
    names = [n for n in tensors if group_of(n)["name"] in wanted or any(re.fullmatch(p, n) for p in patterns if p)]
    if not names and selection not in ({"kind": "recipe", "recipe": "none"}, {"kind": "groups", "groups": []}):
        raise ValueError("This selection selects no parameter.")
    for name, tensor in tensors.items(): tensor.requires_grad_(name in names)
    return names

def carry_out(command):
    action, kind = command["action"], command["action"]["kind"]
    try:
        after, then = {}, []
        if kind == "pause" and not state["paused"]: after, then = {"paused": True}, [("run_paused", {"reason": ""})]
        elif kind == "resume" and state["paused"]: after, then = {"paused": False}, [("run_resumed", {})]
        elif kind == "stop": after = {"stopped": True}
        elif kind == "set_learning_rate": after = {"learning rate": action["learningRate"]}
        elif kind == "set_trainable":
            after = {"trainable tensors": len(names := select(action["selection"]))}
            then = [("trainable_changed", {"selection": action["selection"], "trainable": names})]
        else: raise ValueError(f"This trainer cannot do {kind} now.")
    except ValueError as error: return hub.emit("command_failed", step, commandId=command["commandId"], reason=str(error))
    hub.emit("command_applied", step, commandId=command["commandId"], before={key: state.get(key) for key in after}, after=after)
    state.update(after)
    for event, fields in then: hub.emit(event, step, **fields)

full = {"kind": "recipe", "recipe": "full"}
state["trainable tensors"] = len(names := select(full))
hub.emit("run_started", 0, selection=full, trainable=names, baseline={}, model={
    "name": "tiny-llava", "groups": list(groups.values()), "recipes": [{"name": n, "label": n, "groups": g} for n, g in members.items()],
    "parameters": [{"name": n, "shape": list(t.shape), "size": t.numel(), "group": group_of(n)["name"]} for n, t in tensors.items()]},
    trainer={"backend": "torch", "device": "cpu", "host": socket.gethostname(), "processId": os.getpid(), "version": torch.__version__},
    series=[{"number": 0, "name": "loss", "unit": "nats", "better": "lower"}, {"number": 1, "name": "lr-AdamW/pg1"}])
optimizer = torch.optim.AdamW(tensors.values())
while step < options.steps and not state["stopped"]:
    ids = torch.cat([torch.full((2, 4), 63), torch.randint(0, 60, (2, 8))], dim=1)
    loss = model(input_ids=ids, pixel_values=torch.randn(2, 3, 16, 16), labels=ids).loss
    optimizer.zero_grad()
    if loss.requires_grad: loss.backward()
    optimizer.param_groups[0]["lr"] = state["learning rate"]
    optimizer.step()
    step += 1
    values = [float("nan") if step == options.nan_at else loss.item(), state["learning rate"]]
    hub.emit("step_completed", step, stage=0, series=[0, 1], values=values)
    hub.flush()
    while not state["stopped"] and (state["paused"] or not hub.commands.empty()):
        try: carry_out(hub.commands.get(timeout=0.2))
        except queue.Empty: pass
        hub.flush()
hub.emit("run_stopped", step, reason="stopped by a command") if state["stopped"] else hub.emit("run_finished", step)
hub.flush()
hub.sio.disconnect()
