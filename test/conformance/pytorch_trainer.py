"""A trainer for a LLaVA model in PyTorch, written from PROTOCOL.md alone. The model is tiny and random.

PLUMBLINE_HUB and PLUMBLINE_TOKEN say where the hub is. Options: --steps N, --nan-at STEP."""
import argparse, os, queue, re, secrets, socket, sys, threading, time
import socketio, torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

NAMESPACE = "/trainer"
LAYER = re.compile(r"^(?:model\.)?(?:(vision_tower|vision_model|visual)\.(?:vision_model\.)?(?:encoder\.)?|(?:language_model\.|text_model\.)?"
                   r"(?:model\.)?)(?:layers|blocks)\.(\d+)\.(\w+)(?:\.(\w+))?")


def role_of(name):
    """The group of a parameter and its role, by the table of PROTOCOL.md."""
    plain = re.sub(r"^model\.", "", name)
    if re.match(r"(multi_modal_projector|mm_projector|connector|visual\.merger)\.", plain):
        return {"name": "multi_modal_projector", "part": "projector"}
    layer = LAYER.match(name)
    if layer:
        tower, number, block, projection = layer.groups()
        part, root = ("vision", "vision_tower") if tower else ("language", "language_model")
        role = {"part": part, "layer": int(number)}
        if "norm" in block:
            return {"name": f"{root}.layers.{number}.norms", **role, "block": "norms"}
        return {"name": f"{root}.layers.{number}.{block}.{projection}", **role, "block": block, "projection": projection}
    if re.match(r"(vision_tower|vision_model|visual)\.", plain):
        block = "norms" if re.search(r"norm|layrnorm", plain) else "embeddings"
        return {"name": f"vision_tower.{block}", "part": "vision", "block": block}
    for word, part in (("embed_tokens", "embedding"), ("image_newline", "embedding"), ("lm_head", "head"), ("norm", "language")):
        if re.match(rf"(language_model\.|text_model\.)?(model\.)?{word}(\.|$)", plain):
            return {"name": f"language_model.{word}", "part": part, **({"block": "norms"} if word == "norm" else {})}
    return {"name": re.sub(r"\.weight$", "", plain), "part": "other"}


def describe(model):
    groups, parameters = {}, []
    for name, tensor in model.named_parameters():
        role = role_of(name)
        groups[role["name"]] = role
        parameters.append({"name": name, "shape": list(tensor.shape), "size": tensor.numel(), "group": role["name"]})
    language = lambda g, block, *names: g["part"] == "language" and "layer" in g and g["block"] == block and (not names or g["projection"] in names)
    table = {"full": lambda g: g["part"] in ("language", "embedding", "head"), "everything": lambda g: True,
             "sa_proj": lambda g: language(g, "self_attn", "q_proj", "k_proj", "v_proj", "o_proj"),
             "sa_qkv": lambda g: language(g, "self_attn", "q_proj", "k_proj", "v_proj"), "mlp": lambda g: language(g, "mlp"),
             "mlp_gate_up": lambda g: language(g, "mlp", "gate_proj", "up_proj"), "mlp_down": lambda g: language(g, "mlp", "down_proj"),
             "projector": lambda g: g["part"] == "projector", "vision": lambda g: g["part"] == "vision", "none": lambda g: False}
    recipes = [{"name": name, "label": name, "groups": [g["name"] for g in groups.values() if hits(g)]} for name, hits in table.items()]
    return {"name": "tiny-llava", "groups": list(groups.values()), "parameters": parameters, "recipes": recipes}


class Hub:
    """The line to the hub: keeps events until they are acknowledged, and comes back after every break."""

    def __init__(self, url, token, attach):
        self.attach_message, self.spool, self.commands, self.seen = attach, [], queue.Queue(), set()
        self.seq = self.acknowledged = 0
        self.attached, self.lost = threading.Event(), None
        self.sio = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        self.sio.on("connect", lambda: self.sio.start_background_task(self.attach), namespace=NAMESPACE)
        self.sio.on("disconnect", lambda *_: self.attached.clear(), namespace=NAMESPACE)
        self.sio.on("connect_error", self.refused, namespace=NAMESPACE)
        self.sio.on("command", self.command, namespace=NAMESPACE)
        self.sio.connect(url, namespaces=[NAMESPACE], auth={"token": token, "protocol": 2}, transports=["websocket"],
                         headers={"Authorization": f"Bearer {token}"})

    def refused(self, data=None):
        if isinstance(data, dict) and "message" in data: self.lost = data["message"]

    def command(self, command):
        if command["commandId"] not in self.seen:
            self.seen.add(command["commandId"])
            self.commands.put(command)
        return {"ok": True}

    def ask(self, message, body):
        """The hub's answer; None when the line broke, or after 30 s."""
        answers = queue.Queue()
        try: self.sio.emit(message, body, namespace=NAMESPACE, callback=answers.put)
        except socketio.exceptions.SocketIOError: return None
        for _ in range(300):
            try: return answers.get(timeout=0.1)
            except queue.Empty:
                if not self.sio.connected or NAMESPACE not in self.sio.namespaces: return None
        return None

    def attach(self):
        while not self.lost and NAMESPACE in self.sio.namespaces:
            answer = self.ask("attach", {**self.attach_message, "acknowledgedSeq": self.acknowledged})
            if answer and answer["ok"]:
                self.stored(answer["lastSeq"])
                return self.attached.set()
            if answer and not answer["error"]["retry"]: self.lost = answer["error"]["message"]
            time.sleep(0.5)

    def stored(self, last_seq):
        self.acknowledged = max(self.acknowledged, last_seq)
        self.spool = [event for event in self.spool if event["seq"] > self.acknowledged]

    def emit(self, kind, step, **fields):
        self.seq += 1
        self.spool.append({"seq": self.seq, "type": kind, "step": step, "wallTimeMs": int(time.time() * 1000), **fields})

    def flush(self):
        while self.spool:
            if self.lost: sys.exit(f"The hub refuses this trainer: {self.lost}")
            if not self.attached.wait(0.5): continue
            answer = self.ask("events", {"events": self.spool[:1000]})
            if not answer: continue
            for problem in answer.get("problems", []): print("problem:", problem, file=sys.stderr)
            if "lastSeq" in answer: self.stored(answer["lastSeq"])
            if answer["ok"]: continue
            if answer["error"]["code"] == "not_found": self.attach()
            elif not answer["error"]["retry"]: self.lost = answer["error"]["message"]
            time.sleep(0.3)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--steps", type=int, default=100_000), options.add_argument("--nan-at", type=int, default=0)
    given = options.parse_args()
    torch.manual_seed(1), torch.set_num_threads(1)
    small = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
    model = LlavaForConditionalGeneration(LlavaConfig(
        vision_config=CLIPVisionConfig(**small, image_size=16, patch_size=8), text_config=LlamaConfig(**small, vocab_size=64), image_token_index=63))
    described, tensors = describe(model), dict(model.named_parameters())
    hub = Hub(os.environ["PLUMBLINE_HUB"], os.environ["PLUMBLINE_TOKEN"], {
        "runId": f"torch-{secrets.token_hex(4)}", "parent": None, "secret": secrets.token_urlsafe(24),
        "commands": ["pause", "resume", "set_trainable", "set_learning_rate", "stop"],
        "run": {"name": "Tiny LLaVA in PyTorch", "settings": {"lr": 1e-3}, "totalSteps": given.steps}})
    rate, step, paused, stopped = 1e-3, 0, False, False

    def select(selection):
        """Freezes all but a selection. Returns the names that train."""
        match = {"recipe": lambda p: p["group"] in next((r["groups"] for r in described["recipes"] if r["name"] == selection["recipe"]), []),
                 "groups": lambda p: p["group"] in selection["groups"],
                 "pattern": lambda p: any(re.fullmatch(".*".join(map(re.escape, one.strip().split("*"))), p["name"])
                                          for one in selection["pattern"].split(","))}[selection["kind"]]
        names = [p["name"] for p in described["parameters"] if match(p)]
        if not names and selection not in ({"kind": "recipe", "recipe": "none"}, {"kind": "groups", "groups": []}):
            raise ValueError("This selection hits no parameter.")
        for name, tensor in tensors.items(): tensor.requires_grad_(name in set(names))
        return names

    def apply(command):
        nonlocal rate, paused, stopped
        action, kind = command["action"], command["action"]["kind"]
        done = lambda before, after: hub.emit("command_applied", step, commandId=command["commandId"], before=before, after=after)
        try:
            if kind == "pause" and not paused:
                paused = True
                done({"paused": False}, {"paused": True}), hub.emit("run_paused", step, reason="")
            elif kind == "resume" and paused:
                paused = False
                done({"paused": True}, {"paused": False}), hub.emit("run_resumed", step)
            elif kind == "stop":
                stopped = True
                done({"stopped": False}, {"stopped": True})
            elif kind == "set_learning_rate":
                before, rate = rate, action["learningRate"]
                done({"learning rate": before}, {"learning rate": rate})
            elif kind == "set_trainable":
                before = sum(tensor.requires_grad for tensor in tensors.values())
                names = select(action["selection"])
                done({"trainable tensors": before}, {"trainable tensors": len(names)})
                hub.emit("trainable_changed", step, selection=action["selection"], trainable=names)
            else: raise ValueError(f"This trainer cannot do {kind} now.")
        except ValueError as error: hub.emit("command_failed", step, commandId=command["commandId"], reason=str(error))

    selection = {"kind": "recipe", "recipe": "full"}
    hub.emit("run_started", 0, trainer={"backend": "torch", "device": "cpu", "host": socket.gethostname(), "processId": os.getpid(), "version": torch.__version__},
             model=described, baseline={}, selection=selection, trainable=select(selection), series=[
                 {"number": 0, "name": "loss", "unit": "nats", "better": "lower"}, {"number": 1, "name": "lr-AdamW/pg1"},
                 {"number": 2, "name": "grad norm (L2)"}])
    while step < given.steps and not stopped:
        while not stopped and (paused or not hub.commands.empty()):
            try: apply(hub.commands.get(timeout=0.2))
            except queue.Empty: pass
            hub.flush()
        if stopped: break
        ids = torch.randint(0, 60, (2, 12))
        ids[:, :4] = 63
        loss = model(input_ids=ids, pixel_values=torch.randn(2, 3, 16, 16), labels=ids).loss
        trained = [tensor for tensor in tensors.values() if tensor.requires_grad]
        gradients = torch.autograd.grad(loss, trained, allow_unused=True) if trained else []
        norm = sum(float(each.norm()) ** 2 for each in gradients if each is not None) ** 0.5
        with torch.no_grad():
            for tensor, gradient in zip(trained, gradients):
                if gradient is not None: tensor -= rate * gradient
        step += 1
        hub.emit("step_completed", step, stage=0, series=[0, 1, 2], values=[float("nan") if step == given.nan_at else float(loss), rate, norm])
        hub.flush()
    hub.emit("run_stopped", step, reason="stopped by a command") if stopped else hub.emit("run_finished", step)
    hub.flush()
    hub.sio.disconnect()


if __name__ == "__main__":
    main()
