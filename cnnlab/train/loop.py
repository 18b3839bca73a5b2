"""The training loop: a plain generator of events.

What makes it fast: pictures lie as bytes on the device, a batch is one gather that is channels last already, the
optimiser is fused, sums stay on the device and are read only when an event is due. Nets are `arranged`, and what is
smaller than any number that matters is zero.
"""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from cnnlab.data import Dataset, Feed, Progress
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.train import building, checkpoints, draws, sampling, schedules
from cnnlab.train.arranging import arranged
from cnnlab.train.checkpoints import NetFacts, Position
from cnnlab.train.config import TrainConfig
from cnnlab.train.control import Command, Commands, Control
from cnnlab.train.denormals import without_denormals
from cnnlab.train.evaluating import MOST_AT_ONCE, pictures_at_once
from cnnlab.train.events import (
    Changed,
    Checkpointed,
    Ended,
    EpochEnded,
    LayersMeasured,
    Started,
    Stepped,
    TrainEvent,
)
from cnnlab.train.findings import Watcher
from cnnlab.train.losses import distillation, loss_of
from cnnlab.train.measuring import StepMeasure, layers_with_weights, memory_mb
from cnnlab.train.optimizers import averaged, optimizer_of

_LAYERS_EVERY_S = 0.5
_DROPOUTS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout", "StochasticDepth")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Training:
    """One run: load everything, then iterate over the events, once.

    It neither seeds nor draws from PyTorch's global generator for good: what it borrows it gives back after each
    step. The number of threads is that of the process, `torch.set_num_threads`; whoever owns the process sets it to
    `config.threads`.

    Args:
        config: What to do.
        dataset: Pictures in place of those that the configuration names; needed for one's own.
        control: Where to look for commands, before each step.
        folder: Where checkpoints go; None keeps none.
        resume: Go on from what is in `folder`.
        events_per_s: How often `Stepped` comes at most; `math.inf` gives one a step.
        progress: Told how far loading is.

    Attributes:
        model: The net that learns; with `config.ema`, its running average is `average`.
        average: What is validated and kept: `model` itself without `config.ema`.
        dataset: What it learns from.
        device: Where.

    Raises:
        InputRejected: Net, data and settings do not go together.
        Unsupported: Something is not to be had on this device.
        RunFailed: Data could not be fetched, or what is to be resumed is damaged.
        ResourceExhausted: Disk or memory.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        dataset: Dataset | None = None,
        control: Commands | None = None,
        folder: Path | None = None,
        resume: bool = False,
        events_per_s: float = 20,
        progress: Progress | None = None,
    ) -> None:
        self.config = config
        self.device = building.device_of(config)
        self.dataset = (
            building.load_data(config, progress) if dataset is None else building.resized(dataset, config.side)
        )
        self._control = control or Control()
        self._folder = folder
        self._interval_s = 1 / events_per_s
        data = self.dataset
        _, height, width, channels = data.pictures.shape
        if height != width:
            raise InputRejected(f"Pictures are {width} × {height} px; training takes squares. Choose a side.")
        self._facts = NetFacts(classes=data.classes, in_channels=channels, side=height, mean=data.mean, std=data.std)
        if resume:
            self._check_same_pictures()
        self._labels = data.labels[data.splits.train]
        self.steps_per_epoch = sampling.num_steps(len(self._labels), config.batch_size)
        self._feed = Feed(
            data.pictures,
            data.labels,
            mean=data.mean,
            std=data.std,
            num_classes=len(data.classes),
            augment=config.augment,
            device=self.device,
        )
        self._build(resume=resume)

    def _check_same_pictures(self) -> None:
        """Compare what is at hand with what the weights that are kept were made for."""
        if self._folder is None:
            raise TypeError("what is to be resumed from?")
        for epoch in checkpoints.epochs_in(self._folder)[:1]:
            with suppress(RunFailed):  # a damaged file says nothing, and is not what the run goes on from
                if checkpoints.facts_of(checkpoints.weights_file(self._folder, epoch)) != self._facts:
                    raise InputRejected(
                        "These are other pictures than the run learnt from: their classes, size, channels or mean "
                        "colours differ. Give the pictures that it began with, or start a new run."
                    )

    def _build(self, *, resume: bool) -> None:
        config = self.config
        facts = self._facts
        model = building.build_net(
            config, num_classes=len(facts.classes), in_channels=facts.in_channels, side=facts.side
        )
        if config.start_from:
            building.take_over(model, building.pretrained(config.start_from))
        self._frozen = building.freeze(model, config.freeze_to) if config.freeze_to else ()
        self._teacher = self._on_device(building.teacher(config.teacher, facts)) if config.teacher else None
        self.model = self._on_device(model)
        self.average = copy.deepcopy(self.model) if config.ema else self.model
        self._forward: nn.Module = torch.compile(self.model) if config.compile else arranged(self.model)  # pyright: ignore
        self._watched = layers_with_weights(self.model)
        # By name: StochasticDepth is torchvision's, which takes a second to import.
        self._has_dropout = any(type(module).__name__ in _DROPOUTS for module in self.model.modules())
        self._trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._optimizer = optimizer_of(config, self._trained)
        self._loss = loss_of(config, self.dataset.class_counts(self.dataset.splits.train))
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self._at = Position(validation_losses=[], gradient_scaler={}, found=[])
        self._sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        self._augment_draws = torch.Generator()
        if resume and self._folder is not None:
            self._at, self._sums = checkpoints.read_resume(
                self._folder,
                models=self._models(),
                optimizer=self._optimizer,
                steps_per_epoch=self.steps_per_epoch,
                device=self.device,
            )
            if self._at.gradient_scaler:
                self._scaler.load_state_dict(self._at.gradient_scaler)
        self._loss_sum, self._num_right = self._sums.unbind()  # over the pictures of the epoch
        self._watcher = Watcher(config, self._at.found)

    def _on_device(self, model: nn.Module) -> nn.Module:
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        return model.to(self.device).to(memory_format=layout)  # pyright: ignore[reportCallIssue]

    def _models(self) -> dict[str, nn.Module]:
        return {"model": self.model} | ({"average": self.average} if self.config.ema else {})

    def __iter__(self) -> Iterator[TrainEvent]:
        """The events, up to and including `Ended`."""
        for event in self._events():
            yield event
            yield from self._watcher.look(event)

    def _events(self) -> Iterator[TrainEvent]:
        at, total = self._at, self.config.epochs * self.steps_per_epoch
        yield self._started()
        if at.step == 0:
            yield from self._keep_weights(is_best=False)
        self._is_paused = self._is_stopped = False
        self._set_modes()
        self._reset_window()
        self._last_layers_s = -math.inf
        while at.step < total:
            if self._waited() >= self.config.early_stopping > 0:
                yield self._ended("early", f"No better validation accuracy for {self._waited()} epochs: stopped early.")
                return
            epoch, first = divmod(at.step, self.steps_per_epoch)
            order = sampling.order_of(self.config, self._labels, epoch)
            batches = self.dataset.splits.train[order].split(self.config.batch_size)
            for indices in batches[first : self.steps_per_epoch]:
                yield from self._obey()
                if self._is_stopped:
                    at.seconds += time.perf_counter() - self._window_began
                    self._keep_state()
                    yield self._ended("stopped", f"Stopped in epoch {epoch + 1}, after {at.step:,} steps.")
                    return
                measured = self._step(indices)
                if measured:
                    yield measured
                stepped = self._stepped(is_due=self._is_paused or at.step % self.steps_per_epoch == 0)
                if stepped:
                    yield stepped
                    if not math.isfinite(stepped.loss):
                        yield self._ended("diverged", f"The loss became {stepped.loss} in epoch {epoch + 1}.")
                        return
            yield from self._end_epoch()
            if not math.isfinite(at.validation_losses[-1]):
                yield self._ended("diverged", f"The validation loss became {at.validation_losses[-1]}.")
                return
        yield self._ended("finished", f"All {self.config.epochs} epochs are done.")

    def _started(self) -> Started:
        data, config = self.dataset, self.config
        counts = [parameter.numel() for parameter in self.model.parameters()]
        trained = sum(parameter.numel() for parameter in self._trained)
        return Started(
            time=time.time(),
            net=config.net_name,
            data=data.label,
            classes=data.classes,
            num_train=len(data.splits.train),
            num_validation=len(data.splits.validation),
            steps_per_epoch=self.steps_per_epoch,
            epochs=config.epochs,
            first_step=self._at.step,
            num_params=trained,
            num_frozen=sum(counts) - trained,
            layers=tuple(self._watched),
            device=torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU",
            threads=torch.get_num_threads(),
            input_shape=(self._facts.in_channels, self._facts.side, self._facts.side),
        )

    @without_denormals()
    def _step(self, indices: torch.Tensor) -> LayersMeasured | None:
        config, at = self.config, self._at
        began = time.perf_counter()
        is_measured = began - self._last_layers_s >= _LAYERS_EVERY_S
        measure = StepMeasure(self.model, self._watched) if is_measured else None
        self._set_lr()
        if config.augment.steps:
            self._augment_draws.manual_seed(draws.seed_of(config.seed, "augment", at.step))
        x, labels = self._feed.train_batch(indices, self._augment_draws)
        if not config.channels_last:
            x = x.contiguous()
        with self._drawing(), measure.watching() if measure else nullcontext():
            logits, loss = self._forward_pass(x, labels)
        for weight in self._trained:  # as `zero_grad` does, whose bookkeeping takes 3 % of a small net's step
            weight.grad = None
        self._scaler.scale(loss).backward()
        norm = self._gradient_norm(is_wanted=measure is not None)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if config.ema:
            averaged(self.average, self.model, config.ema, at.step)
        truths = labels if labels.ndim == 1 else labels.argmax(1)
        self._loss_sum.add_(loss.detach(), alpha=len(truths))
        self._num_right.add_((logits.detach().argmax(1) == truths).sum())
        at.seen += len(truths)
        at.step += 1
        if measure is None or norm is None:
            return None
        self._last_layers_s = began
        return measure.result(at.step, norm)

    def _set_lr(self) -> None:
        rising = schedules.factor(self.config, self._at.step, self.steps_per_epoch, self._at.validation_losses)
        self._lr = self.config.lr * rising * self._at.lr_scale
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr

    def _drawing(self) -> AbstractContextManager[None]:
        if not self._has_dropout:
            return nullcontext()
        return draws.global_draws(draws.seed_of(self.config.seed, "dropout", self._at.step), self.device)

    def _forward_pass(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        config = self.config
        dtype = _DTYPES.get(config.precision)
        with torch.autocast(self.device.type, dtype) if dtype else nullcontext():
            logits = self._forward(x)
        loss = self._loss(logits, labels)
        if self._teacher is not None:
            with torch.inference_mode():
                taught = self._teacher(x)
            share = config.distill_weight
            loss = (1 - share) * loss + share * distillation(logits, taught.clone(), config.distill_temperature)
        return logits, loss

    def _gradient_norm(self, *, is_wanted: bool) -> torch.Tensor | None:
        """Length of the gradient where it is wanted; cut where the configuration says so."""
        limit = self.config.clip_norm
        if limit is None and not is_wanted:
            return None
        self._scaler.unscale_(self._optimizer)
        if limit is not None:
            return nn.utils.clip_grad_norm_(self._trained, limit)
        return nn.utils.get_total_norm([weight.grad for weight in self._trained if weight.grad is not None])

    def _reset_window(self) -> None:
        self._window_sums, self._window_seen = self._sums.clone(), self._at.seen  # as they were when it began
        self._window_began = time.perf_counter()

    def _set_modes(self) -> None:
        self.model.train()
        for module in self._frozen:
            module.eval()

    def _stepped(self, *, is_due: bool) -> Stepped | None:
        elapsed = time.perf_counter() - self._window_began
        if not is_due and elapsed < self._interval_s:
            return None
        num_pictures = self._at.seen - self._window_seen
        loss, right = ((self._sums - self._window_sums) / num_pictures).tolist()
        event = Stepped(
            time=time.time(),
            step=self._at.step,
            loss=loss,
            accuracy=right,
            lr=self._lr,
            images_per_s=num_pictures / max(elapsed, 1e-9),
            memory_mb=memory_mb(self.device),
        )
        self._at.seconds += elapsed
        self._reset_window()
        return event

    def _end_epoch(self) -> Iterator[TrainEvent]:
        at = self._at
        train_loss, train_accuracy = (self._sums / at.seen).tolist()
        began = time.perf_counter()
        loss, confusion = self._validate()
        accuracy = int(confusion.diagonal().sum()) / int(confusion.sum())
        epoch = at.step // self.steps_per_epoch
        at.validation_losses.append(loss)
        is_best = accuracy > at.best_accuracy or at.best_epoch == 0
        if is_best:
            at.best_epoch, at.best_accuracy = epoch, accuracy
        seconds = at.seconds
        at.seen, at.seconds = 0, 0.0
        self._sums.zero_()
        validation_seconds = time.perf_counter() - began
        # First the files, then the news: what was told is on the disk.
        checkpoint = list(self._keep_weights(is_best=is_best))
        if math.isfinite(loss):  # a net that broke is nothing to go on from
            self._keep_state()
        yield EpochEnded(
            time=time.time(),
            epoch=epoch,
            step=at.step,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=loss,
            validation_accuracy=accuracy,
            confusion=tuple(tuple(row) for row in confusion.tolist()),
            lr=self._lr,
            seconds=seconds,
            validation_seconds=validation_seconds,
        )
        yield from checkpoint
        self._set_modes()
        self._reset_window()

    @without_denormals()
    def _validate(self) -> tuple[float, torch.Tensor]:
        """Mean cross-entropy and the confusion matrix (K, K) on the validation part."""
        num_classes = len(self._facts.classes)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        counts = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=self.device)
        indices = self.dataset.splits.validation
        # What training has room for, validation has too: it keeps no maps for a way back.
        at_once = min(MOST_AT_ONCE, max(self.config.batch_size, pictures_at_once(self.dataset.pictures)))
        self.average.eval()
        with torch.inference_mode():
            for part in indices.split(at_once):
                x, labels = self._feed.plain_batch(part)
                logits = self.average(x).float()
                total += F.cross_entropy(logits, labels, reduction="sum")
                counts += torch.bincount(labels * num_classes + logits.argmax(1), minlength=len(counts))
        return float(total) / len(indices), counts.view(num_classes, num_classes).cpu()

    def _keep_weights(self, *, is_best: bool) -> Iterator[Checkpointed]:
        if self._folder is None:
            return
        epoch = self._at.step // self.steps_per_epoch
        path = checkpoints.weights_file(self._folder, epoch)
        checkpoints.write_weights(path, self.average, self._facts)
        checkpoints.thin_out(self._folder, self._at.best_epoch)
        yield Checkpointed(epoch=epoch, step=self._at.step, file=f"weights/{path.name}", is_best=is_best)

    def _keep_state(self) -> None:
        if self._folder is None:
            return
        self._at.found = self._watcher.known
        self._at.gradient_scaler = self._scaler.state_dict()
        checkpoints.write_resume(
            self._folder,
            models=self._models(),
            optimizer=self._optimizer,
            sums=self._sums,
            position=self._at,
            steps_per_epoch=self.steps_per_epoch,
        )

    def _obey(self) -> Iterator[TrainEvent]:
        """Carry out what was asked for; while paused, wait."""
        while True:
            began = time.perf_counter()
            command = self._control.next(wait=self._is_paused)
            if self._is_paused:
                self._window_began += time.perf_counter() - began
            if command is None:
                return
            yield from self._carry_out(command)
            if self._is_stopped or command.name == "step":
                return

    def _carry_out(self, command: Command) -> Iterator[TrainEvent]:
        step = self._at.step
        if command.name == "stop":
            self._is_stopped = True
        elif command.name in ("pause", "step"):
            if not self._is_paused:
                self._is_paused = True
                yield Changed(step=step, what="paused")
        elif command.name == "resume":
            if self._is_paused:
                self._is_paused = False
                yield Changed(step=step, what="resumed")
        elif command.name == "lr":
            self._set_lr()
            self._at.lr_scale *= command.value / self._lr if self._lr else 1.0
            yield Changed(step=step, what="lr", value=command.value)
        elif command.name == "snapshot" and self._folder is not None:
            path = checkpoints.snapshot_file(self._folder, step)
            checkpoints.write_weights(path, self.average, self._facts)
            epoch = step // self.steps_per_epoch
            yield Checkpointed(epoch=epoch, step=step, file=f"weights/{path.name}", is_best=False)

    def _waited(self) -> int:
        """Epochs done since the best."""
        return self._at.step // self.steps_per_epoch - self._at.best_epoch

    def _ended(self, reason: str, text: str) -> Ended:
        return Ended(
            time=time.time(),
            step=self._at.step,
            epoch=self._at.step // self.steps_per_epoch,
            reason=reason,
            text=text,
            best_epoch=self._at.best_epoch,
            best_accuracy=self._at.best_accuracy,
        )


def train(
    config: TrainConfig,
    *,
    dataset: Dataset | None = None,
    control: Commands | None = None,
    folder: Path | None = None,
    resume: bool = False,
    events_per_s: float = 20,
    progress: Progress | None = None,
) -> Iterator[TrainEvent]:
    """Train a net and tell of it, event by event.

    Arguments and errors are those of `Training`.
    """
    return iter(
        Training(
            config,
            dataset=dataset,
            control=control,
            folder=folder,
            resume=resume,
            events_per_s=events_per_s,
            progress=progress,
        )
    )
