"""The part of a script that trains the net and tries it."""

from cnnlab.train.config import TrainConfig
from cnnlab.train.script_net import has_dropout
from cnnlab.train.script_slicing import Slices

_EVALUATE = '''
def evaluate(net, indices):
    """Mean cross-entropy and share of right answers, without augmentation and dropout."""
    net.eval()
    loss, right = 0.0, 0
    with torch.inference_mode():
        for part in indices.split(500):
            x, truths = plain_batch(part)
            logits = net(x)
            loss += F.cross_entropy(logits, truths, reduction="sum").item()
            right += int((logits.argmax(1) == truths).sum())
    return loss / len(indices), right / len(indices)
'''

_BALANCED = '''
def balanced_order(truths, generator):
    """As many places as there are truths, each class equally often: of small classes some come again."""
    classes = truths.unique()
    quota = -(-len(truths) // len(classes))
    drawn = []
    for label in classes:
        members = (truths == label).nonzero()[:, 0]
        rounds = [members[torch.randperm(len(members), generator=generator)] for _ in range(-(-quota // len(members)))]
        drawn.append(torch.cat(rounds)[:quota])
    mixed = torch.stack(drawn, dim=1).reshape(-1)[: len(truths)]
    return mixed[torch.randperm(len(mixed), generator=generator)]
'''

_STEPS = """
# In an epoch. A single picture that is left over is left out: BatchNorm cannot learn of one.
STEPS = len(train) // BATCH_SIZE + (len(train) % BATCH_SIZE > 1)
"""

_ONE_CYCLE = '''
def learning_rate(step):
    """Straight up from 1/25, then straight down to nearly nothing (Smith and Topin, Super-convergence, 2018)."""
    total = EPOCHS * STEPS
    top = max(SHARE * total - 1, 0)
    start = 1 / 25
    if step <= top:
        return LR * (start + (1 - start) * (step / top if top else 1.0))
    return LR * (1 + (start * 1e-4 - 1) * (step - top) / (total - 1 - top))
'''


def random_numbers(slices: Slices) -> str:
    """Defines `generator(SEED, what, number)` and `seed_of`."""
    slices.take("cnnlab.train.draws", "generator")
    return slices.text()


def constants(config: TrainConfig) -> str:
    """What one may want to change first."""
    device = {
        "cpu": 'torch.device("cpu")',
        "cuda": 'torch.device("cuda")',
        "auto": 'torch.device("cuda" if torch.cuda.is_available() else "cpu")',
    }
    return f"""\
SEED = {config.seed}
EPOCHS = {config.epochs}
BATCH_SIZE = {config.batch_size}
LR = {config.lr!r}
DEVICE = {device[config.device]}
torch.set_num_threads({config.threads})
"""


def training(config: TrainConfig, imports: set[str], slices: Slices) -> str:
    """Trains `model`, keeps `history` and the `best` weights."""
    imports |= {"import copy", "from torch.nn import functional as F"}
    parts = [_EVALUATE, _schedule(config, imports, slices)]
    if config.sampling == "balanced":
        parts.append(_BALANCED)
    parts += [_preparation(config, slices), _loop(config, slices)]
    return "\n".join(part for part in parts if part)


def test(config: TrainConfig) -> str:
    """Tries the best net on the test pictures and writes it."""
    return (
        f"""\
{_kept(config)}.load_state_dict(best)
test_loss, test_accuracy = evaluate({_kept(config)}, test)
"""
        + """\
print(f"test: {test_accuracy:.2%} of {len(test):,} pictures, with the net after epoch {best_epoch}")
torch.save(best, "net.pt")
"""
    )


def _kept(config: TrainConfig) -> str:
    """Name of the net that is validated and kept."""
    return "average" if config.ema else "model"


def _schedule(config: TrainConfig, imports: set[str], slices: Slices) -> str:
    """The number of steps of an epoch, and the learning rate of each."""
    return _STEPS + _learning_rate(config, imports, slices)


def _learning_rate(config: TrainConfig, imports: set[str], slices: Slices) -> str:
    """Defines `learning_rate`; "" where it never changes. Factors are multiplied in the order in which the lab does."""
    if config.schedule == "one_cycle":
        share = f"min(0.99, {config.warmup!r} / EPOCHS)" if config.warmup else "0.3"
        return _ONE_CYCLE.replace("SHARE", share)
    rising = "min(1.0, (step + 1) / warmup)" if config.warmup else ""
    before = [f"    warmup = {config.warmup!r} * STEPS"] if config.warmup else []
    arguments = "step"
    if config.schedule == "constant":
        if not rising:
            return ""
        factor = rising
    elif config.schedule == "cosine":
        imports.add("import math")
        before.append("    total = EPOCHS * STEPS")
        if rising:
            before += ["    if step < warmup or total <= warmup:", f"        return LR * {rising}"]
        done = "(step - warmup) / (total - warmup)" if rising else "step / total"
        factor = f"((1 + math.cos(math.pi * {done})) / 2)"
    else:
        if config.schedule == "step":
            drops = f"(step // STEPS // {config.step_every})"
        else:
            arguments = "step, losses"
            drops = f"{slices.take('cnnlab.train.schedules', 'plateau_drops')}(losses, {config.plateau_patience})"
        factor = f"{config.step_factor!r} ** {drops}"
        if rising:
            factor = f"({rising} * {factor})"
    return "\n".join([f"def learning_rate({arguments}):", *before, f"    return LR * {factor}"]) + "\n"


def _preparation(config: TrainConfig, slices: Slices) -> str:
    layout = ".to(memory_format=torch.channels_last)" if config.channels_last else ""
    lines = [f"model = model.to(DEVICE){layout}"]
    if config.teacher:
        lines.append(f"teacher = teacher.to(DEVICE){layout}")
    if config.ema:
        slices.take("cnnlab.train.optimizers", "averaged")
        lines.append("average = copy.deepcopy(model)  # a running average of the weights, which is what is kept")
    if config.compile:
        lines.append("forward = torch.compile(model)")
    if config.freeze_to:
        lines.append("trained = [weight for weight in model.parameters() if weight.requires_grad]")
    weights = "trained" if config.freeze_to else "model.parameters()"
    lines.append(f"optimizer = torch.optim.{_optimizer(config, weights)}")
    if config.precision == "fp16":
        lines.append("scaler = torch.amp.GradScaler(DEVICE.type)")
    if config.loss == "weighted":
        name = slices.take("cnnlab.train.losses", "class_weights")
        lines.append("counts = torch.bincount(labels[train], minlength=len(CLASSES))")
        lines.append(f"weights = torch.tensor({name}(counts.tolist()), device=DEVICE)")
    return "\n".join(lines) + "\n"


def _optimizer(config: TrainConfig, weights: str) -> str:
    given = [weights, "lr=LR"]
    if config.optimizer in ("sgd", "rmsprop") and config.momentum:
        given.append(f"momentum={config.momentum!r}")
    if config.nesterov:
        given.append("nesterov=True")
    if config.weight_decay or config.optimizer == "adamw":
        given.append(f"weight_decay={config.weight_decay!r}")
    if config.optimizer != "rmsprop":
        given.append("fused=True")
    name = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}[config.optimizer]
    return f"{name}({', '.join(given)})"


def _loop(config: TrainConfig, slices: Slices) -> str:
    order = 'torch.randperm(len(train), generator=generator(SEED, "order", epoch - 1))'
    if config.sampling == "balanced":
        order = 'balanced_order(labels[train].cpu(), generator(SEED, "order", epoch - 1))'
    kept = _kept(config)
    modes = ["model.train()"]
    if config.freeze_to:
        modes += ["for module in frozen:", "    module.eval()  # or BatchNorm's statistics would move on"]
    # As the loop does it in every step and validation; see `denormals`.
    flushing = "torch.set_flush_denormal(True)  # numbers below 1e-38 are zero, as they would take long"
    lines = [
        *([flushing] if config.threads == 1 else []),
        "history = []",
        "best, best_epoch, best_accuracy = {}, 0, 0.0",
        "step = 0",
        "for epoch in range(1, EPOCHS + 1):",
        *(f"    {line}" for line in modes),
        "    loss_sum, right, seen = 0.0, 0, 0",
        f"    order = {order}",
        "    for indices in train[order].split(BATCH_SIZE)[:STEPS]:",
        *(f"        {line}" for line in _step(config, slices)),
        "        step += 1",
        "        loss_sum += loss.detach().double() * len(x)",
        f"        right += (logits.detach().argmax(1) == truths{'.argmax(1)' * config.augment.mixes}).sum()",
        "        seen += len(x)",
        f"    validation_loss, validation_accuracy = evaluate({kept}, validation)",
        "    train_loss, train_accuracy = float(loss_sum) / seen, int(right) / seen",
        "    history.append((train_loss, train_accuracy, validation_loss, validation_accuracy))",
        "    print(",
        '        f"epoch {epoch}: training loss {train_loss:.4f}, accuracy {train_accuracy:.2%}; "',
        '        f"validation loss {validation_loss:.4f}, accuracy {validation_accuracy:.2%}"',
        "    )",
        "    if validation_accuracy > best_accuracy or best_epoch == 0:",
        f"        best = copy.deepcopy({kept}.state_dict())",
        "        best_epoch, best_accuracy = epoch, validation_accuracy",
    ]
    if config.early_stopping:
        lines += [f"    if epoch - best_epoch >= {config.early_stopping}:", "        break"]
    return "\n".join(lines) + "\n"


def _step(config: TrainConfig, slices: Slices) -> list[str]:
    """The lines of one step, from the batch to the new weights."""
    lines = []
    if config.augment.steps:
        lines.append('x, truths = train_batch(indices, generator(SEED, "augment", step))')
    else:
        lines.append("x, truths = plain_batch(indices)")
    if not config.channels_last:
        lines.append("x = x.contiguous()")
    if config.schedule != "constant" or config.warmup:
        losses = ", [past[2] for past in history]" if config.schedule == "plateau" else ""
        lines += ["for group in optimizer.param_groups:", f'    group["lr"] = learning_rate(step{losses})']
    if has_dropout(config):
        lines.append('torch.manual_seed(seed_of(SEED, "dropout", step))')
    call = "forward(x)" if config.compile else "model(x)"
    if config.precision != "fp32":
        dtype = {"bf16": "bfloat16", "fp16": "float16"}[config.precision]
        lines += [
            f"with torch.autocast(DEVICE.type, torch.{dtype}):",
            f"    logits = {call}",
            "logits = logits.float()",
        ]
    else:
        lines.append(f"logits = {call}")
    lines.append(f"loss = {_loss(config, slices)}")
    if config.teacher:
        name = slices.take("cnnlab.train.losses", "distillation")
        share = config.distill_weight
        lines += [
            "with torch.no_grad():",
            "    taught = teacher(x)",
            f"loss = {1 - share!r} * loss + {share!r} * {name}(logits, taught, {config.distill_temperature!r})",
        ]
    lines.append("optimizer.zero_grad()")
    is_scaled = config.precision == "fp16"
    lines.append("scaler.scale(loss).backward()" if is_scaled else "loss.backward()")
    if config.clip_norm is not None:
        weights = "trained" if config.freeze_to else "model.parameters()"
        lines += ["scaler.unscale_(optimizer)"] * is_scaled
        lines.append(f"nn.utils.clip_grad_norm_({weights}, {config.clip_norm!r})")
    lines += ["scaler.step(optimizer)", "scaler.update()"] if is_scaled else ["optimizer.step()"]
    if config.ema:
        lines.append(f"averaged(average, model, {config.ema!r}, step)")
    return lines


def _loss(config: TrainConfig, slices: Slices) -> str:
    smoothing = config.label_smoothing
    if config.loss == "focal":
        name = slices.take("cnnlab.train.losses", "focal")
        smooth = f", smoothing={smoothing!r}" if smoothing else ""
        return f"{name}(logits, truths, gamma={config.focal_gamma!r}{smooth})"
    weight = ", weights" if config.loss == "weighted" else ""
    smooth = f", label_smoothing={smoothing!r}" if smoothing else ""
    return f"F.cross_entropy(logits, truths{weight}{smooth})"
