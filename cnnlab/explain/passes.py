"""One forward pass that yields the prediction and all that gradient methods need: they, and other classes, share it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnlab.errors import InputRejected, RunFailed
from cnnlab.explain.targets import Target, score
from cnnlab.inference.capturing import capturing, ready


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """What a net made of some pictures. Belongs to whoever made it; the model in it is shared and stays as it is.

    Attributes:
        model: In evaluation mode, with capture points.
        x: (N, C, H, W), on the model's device and in its precision.
        logits: (N, classes); hold the graph back to the first captured layer, and no further.
        activations: Captured layer → its output, (N, K, h, w).
    """

    model: nn.Module
    x: Tensor
    logits: Tensor
    activations: Mapping[str, Tensor]

    def gradients(self, target: Target, layer: str) -> Tensor:
        """How the score changes with each cell of a captured layer, (N, K, h, w). Costs the layers behind it only.

        Raises:
            InputRejected: There is no such class or layer.
        """
        score_n = score(self.logits, target)
        # The pictures of a batch do not influence each other in evaluation mode: the sum has the gradients of each.
        (gradients,) = torch.autograd.grad(
            score_n.sum(), self.activation(layer), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return gradients

    def activation(self, layer: str) -> Tensor:
        """Output of a captured layer, (N, K, h, w). Detach it before it is changed or kept.

        Raises:
            InputRejected: The layer was not captured, or makes no maps.
        """
        output = self.activations.get(layer)
        if output is None:
            raise InputRejected(
                f"Layer {layer!r} is not in this pass; it holds {', '.join(self.activations) or 'none'}."
            )
        if output.ndim != 4:
            raise InputRejected(
                f"Layer {layer} makes a vector of {output.shape[-1]} numbers, which has no places in the picture. "
                "Choose a layer that makes maps."
            )
        return output

    def logits_with(self, layer: str, edit: Callable[[Tensor], Tensor]) -> Tensor:
        """What the net says when a layer makes something else; without gradients.

        Args:
            layer: Any layer that makes maps.
            edit: Gets the layer's output, (N, K, h, w); for a single picture it may answer with a batch (B, K, h, w),
                and only the layers behind it work on B: those before run once.

        Returns:
            (N, classes) or (B, classes)
        """
        with torch.no_grad():
            try:
                with capturing(self.model, edits={layer: edit}):
                    return self.model(self.x)
            except RuntimeError:
                if len(self.x) != 1:
                    raise
            # A branch that goes around the layer met the batch with one picture (concatenation): give it as many.
            size = 0

            def count(output: Tensor) -> Tensor:
                nonlocal size
                size = len(edit(output))
                return output

            with capturing(self.model, edits={layer: count}):
                self.model(self.x)
            with capturing(self.model, edits={layer: lambda output: edit(output[:1])}):
                return self.model(self.x.expand(size, -1, -1, -1))


def look(model: nn.Module, x: Tensor, layers: Sequence[str] = ()) -> Pass:
    """Run a net on pictures and keep what its layers made, ready for gradients.

    Args:
        model: Of `share`, or any other, which stays as it is. One in training is explained as it is at this moment.
        x: (N, C, H, W) as `Preprocessing` makes it; moved to the model's device and precision.
        layers: Which to keep.

    Raises:
        InputRejected: A layer is not there, or the net makes no logits, or x does not fit.
        RunFailed: The net answers with NaN or ∞.
    """
    model = ready(model)
    parameter = next(model.parameters(), x)
    x = x.detach().to(device=parameter.device, dtype=parameter.dtype)
    with torch.enable_grad(), capturing(model, layers) as activations:
        logits = model(x)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise InputRejected(
            "The net does not end with one row of logits for each picture, so no class can be asked for."
        )
    if not bool(torch.isfinite(logits).all()):
        raise RunFailed("The net answers with NaN or ∞: its weights or its input are broken. Choose other weights.")
    return Pass(model=model, x=x, logits=logits, activations=activations)
