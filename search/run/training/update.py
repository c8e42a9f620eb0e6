"""What a training step does with its gradients: the optimiser, its learning rate, the running mean of the weights."""

from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.optim import Optimizer

from search.run.training.learning_rate import schedule
from search.study import Training

FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
"""Optimisers that read their learning rate and count their steps on the device, so that a recording stays right."""

USUAL = {"fused": None, "capturable": False}
"""What such an optimiser is told on a CPU, and what a state that may go anywhere says."""


class Update:
    """The optimiser, its learning rate, the loss scale of float16 and the running mean of a network.

    Attributes:
        is_recordable: whether `apply` may be part of a CUDA graph: what changes from step to step is on the device.
        scaler: of the loss, for gradients of float16.
        ema: the running mean; None where none is kept.
    """

    def __init__(
        self,
        net: nn.Module,
        training: Training,
        steps: int,
        epochs: int,
        half: torch.dtype | None,
        on_device: bool | None = None,
    ) -> None:
        """Of a network on its device.

        Args:
            net: the network.
            training: how it learns.
            steps: of an epoch.
            epochs: of the whole training.
            half: mixed precision's type; None for none.
            on_device: whether what changes is kept on the device where it can be; None for on a GPU.
        """
        device = next(net.parameters()).device
        self._net, self._training = net, training
        self._optimizer = optimizer_of(net, training)
        # One cycle moves Adam's betas as well, which are plain numbers; float16's scaler was never recorded.
        recordable = type(self._optimizer) in FUSED and training.schedule != "onecycle" and half is not torch.float16
        self.is_recordable = recordable and (device.type == "cuda" if on_device is None else on_device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=half is torch.float16)
        self.ema = ModelEmaV3(net, decay=training.ema, use_warmup=True) if training.ema else None
        self._step, self._kept = 0, torch.ones((), device=device)
        if self.is_recordable:
            self._record_on_device(device)
        self._set_rate = schedule(self._optimizer, training, steps, epochs)

    def _record_on_device(self, device: torch.device) -> None:
        """Let learning rate and steps be numbers on the device."""
        self._optimizer = optimizer_of(self._net, self._training, fused=True)
        rate = torch.tensor(self._training.lr, device=device)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
            if "capturable" in group:  # Adam's refuses to be recorded otherwise, though a fused one can be
                group["capturable"] = True

    def leave_out(self) -> bool:
        """Be done after each step instead of in its recording, which has failed; whether it was in it."""
        was, self.is_recordable = self.is_recordable, False
        return was

    @property
    def lr(self) -> float:
        """The learning rate of the last step; waits for the device."""
        return float(self._optimizer.param_groups[0]["lr"])

    def clear(self) -> None:
        """Take the gradients away."""
        self._optimizer.zero_grad()

    def prepare(self, step: int) -> None:
        """Set what a step's number decides."""
        self._set_rate(step)
        self._step = step
        if self.ema is not None and self.is_recordable:
            self._kept.fill_(self.ema.get_decay(step))

    def apply(self) -> None:
        """Clip the gradients, change the weights by them, and their running mean."""
        if self._training.clip:
            self.scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._net.parameters(), self._training.clip)
        self.scaler.step(self._optimizer)
        self.scaler.update()
        if self.ema is not None and self.is_recordable:
            move_mean(self.ema.module, self._net, self._kept)
        elif self.ema is not None:
            self.ema.update(self._net, step=self._step)

    def state(self) -> dict[str, Any]:
        """What is needed to go on, on any device; it shares memory with the optimiser."""
        optimizer = self._optimizer.state_dict()
        for group in optimizer["param_groups"]:
            group["lr"] = float(group["lr"])
            for name, usual in USUAL.items():
                if name in group:
                    group[name] = usual
        return {
            "optimizer": optimizer,
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else {},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Be as when `state` was taken."""
        names = ("lr", *USUAL) if self.is_recordable else ()
        own = [{name: group[name] for name in names if name in group} for group in self._optimizer.param_groups]
        saved = state["optimizer"]["param_groups"]
        groups = [group | mine for group, mine in zip(saved, own, strict=True)]
        self._optimizer.load_state_dict({**state["optimizer"], "param_groups": groups})
        for group, mine in zip(self._optimizer.param_groups, own, strict=True):
            group.update(mine)  # the very number that a recording reads
        self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])


def optimizer_of(net: nn.Module, training: Training, **options: Any) -> Optimizer:
    """Timm's optimiser of this name; biases and BatchNorm are left out of weight decay."""
    betas = {} if training.betas is None else {"betas": training.betas}
    optimizer: Optimizer = create_optimizer_v2(
        net, opt=training.optimizer, lr=training.lr, weight_decay=training.weight_decay, **betas, **options
    )
    return optimizer


@torch.no_grad()
def move_mean(mean: nn.Module, net: nn.Module, kept: torch.Tensor) -> None:
    """Move a running mean towards a network's parameters and buffers; `kept`, a number on the device, is its share.

    As timm's ModelEmaV3 does with a plain number, which a recording would keep for ever.
    """
    means, values = [], []
    for ours, new in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if ours.is_floating_point():
            means.append(ours)
            values.append(new)
        else:
            ours.copy_(new)
    differences = torch._foreach_sub(means, values)
    torch._foreach_mul_(differences, kept)
    torch._foreach_add_(differences, values)
    torch._foreach_copy_(means, differences)
